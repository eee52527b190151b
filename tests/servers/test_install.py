"""`make servers` starts no daemon, tells what it could not get, and lets the tests run all the same."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import install, maven
from tests.servers.kafka import KafkaServer
from tests.servers.redis import RedisServer


class AbsentServer(RedisServer):
    """One that no machine has."""

    program = "no-such-server"
    packages = ("no-such-package",)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The commands that would have changed this machine."""
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(install, "_run", lambda *command: commands.append(command))
    return commands


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What packages ask, elsewhere than where they ask."""
    monkeypatch.setattr(install, "_POLICY", tmp_path / "policy-rc.d")
    return tmp_path / "policy-rc.d"


@pytest.fixture
def as_user(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Be somebody else, on a machine with apt."""

    def become(user: int) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: user)
        monkeypatch.setattr(install, "found", lambda program: f"/usr/bin/{program}")

    return become


def test_who_is_not_root_is_told_what_is_missing(
    ran: list[tuple[str, ...]],
    as_user: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    as_user(1000)
    monkeypatch.setattr(install, "SERVERS", (AbsentServer,))

    assert install.main() == 0

    assert not ran
    assert (
        "no-such-server is not installed: `make servers` as root, or `apt install no-such-package`"
        in capfd.readouterr().err
    )


@pytest.mark.parametrize("before", [None, "#!/bin/sh\nexit 0\n"])
def test_no_package_starts_its_daemon_while_it_is_installed(
    before: str | None, policy: Path, as_user: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_user(0)
    if before is not None:
        policy.write_text(before)
        policy.chmod(0o744)
    asked: list[int] = []
    monkeypatch.setattr(
        install, "_run", lambda *command: asked.append(subprocess.run([policy], check=False).returncode)
    )

    install._install(["no-such-package"])

    assert asked == [101, 101]
    assert policy.exists() == (before is not None)
    assert before is None or (policy.read_text(), policy.stat().st_mode & 0o777) == (before, 0o744)


def test_an_install_that_fails_is_told_and_the_policy_is_as_before(
    policy: Path, as_user: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    as_user(0)
    run = install._run
    monkeypatch.setattr(install, "_run", lambda *command: run("sh", "-c", "echo no such package; exit 100"))

    install._install(["no-such-package"])

    assert "no such package" in capfd.readouterr().err
    assert not policy.exists()


def test_what_is_there_is_not_installed_again(ran: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    class Present(RedisServer):
        program = "sh"

    monkeypatch.setattr(install, "SERVERS", (Present,))

    assert install.main() == 0

    assert not ran


def test_what_maven_cannot_fetch_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mvn").write_text("#!/bin/sh\necho the mirror is away\nexit 1\n")
    (tmp_path / "mvn").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(maven, "java_version", lambda: 17)
    monkeypatch.setattr(install, "SERVERS", (KafkaServer,))

    install._fetch(KafkaServer)

    assert "Maven could not fetch it: the mirror is away" in capfd.readouterr().err
    assert "was not fetched yet: `make servers`" in (KafkaServer.missing() or "")


def test_a_class_path_with_a_file_that_is_gone_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jar = tmp_path / "server.jar"
    jar.touch()
    maven.folder().mkdir(parents=True)
    (maven.folder() / "server-1").write_text(str(jar))
    assert maven.classpath(["group:server:1"]) == str(jar)

    jar.unlink()

    assert maven.classpath(["group:server:1"]) is None
