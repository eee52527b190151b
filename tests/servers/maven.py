"""Servers that come from Maven Central: fetched once, kept outside the repository, found again as a class path.

They lie in `~/.cache/tidings/servers` (XDG_CACHE_HOME is heeded), in a Maven repository of their own.
"""

import fcntl
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import ClassVar

from tests.servers.server import Server, found

OLDEST_JAVA = 17
_WITHIN = 900.0  # seconds; what was fetched until then is kept for the next try
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tests</groupId><artifactId>server</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>{dependencies}</dependencies>
</project>
"""
_DEPENDENCY = (
    "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>"
    "<exclusions>{exclusions}</exclusions></dependency>"
)
_EXCLUSION = "<exclusion><groupId>{}</groupId><artifactId>{}</artifactId></exclusion>"


class JavaServer(Server):
    """A server that Java runs from its class path."""

    program = "java"
    packages = ("default-jre-headless", "maven")
    brew = "openjdk maven"
    artifacts: ClassVar[Sequence[str]]  # "group:artifact:version"; the first is the server, others join its class path
    without: ClassVar[Sequence[str]] = ()  # "group:artifact" of what it never uses here, and is not fetched
    machine: ClassVar[Sequence[str]] = (
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
    )  # starts soon; not for benchmarks

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot be started here; None when it can."""
        if reason := cls.lacks_java():
            return reason
        return None if classpath(cls.artifacts) else f"{cls.artifacts[0]} was not fetched yet: `make servers`"

    @classmethod
    def lacks_java(cls) -> str | None:
        """Why it could not even be fetched; None when it can."""
        if java_version() < OLDEST_JAVA:
            lacks = f"no Java {OLDEST_JAVA} or newer for {cls.artifacts[0]}"
        elif not (classpath(cls.artifacts) or found("mvn")):
            lacks = f"no Maven to fetch {cls.artifacts[0]} with"
        else:
            return None
        return f"{lacks}: `make servers` as root, or {cls.install_line()}"

    @classmethod
    def java(cls, *options: str) -> list[str]:
        """The command that runs a class of it: options, the class, its arguments."""
        return ["java", "-cp", classpath(cls.artifacts) or "", *cls.machine, *options]


def folder() -> Path:
    """Where all that is fetched is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidings" / "servers"


def classpath(artifacts: Sequence[str]) -> str | None:
    """What Java needs to run them; None when it is not there, or not all of it any more."""
    try:
        path = _record(artifacts).read_text()
    except OSError:
        return None
    return path if all(map(os.path.exists, path.split(os.pathsep))) else None


def fetch(artifacts: Sequence[str], *, without: Sequence[str] = ()) -> None:
    """Fetch them and all they need, but for `without`: "group:artifact" of what is never used here.

    Raises:
        RuntimeError: it failed or took too long, with Maven's reasons.
    """
    folder().mkdir(parents=True, exist_ok=True)
    with _alone(), tempfile.TemporaryDirectory() as place:
        if classpath(artifacts):
            return
        pom, listed = Path(place) / "pom.xml", Path(place) / "classpath"
        exclusions = "".join(_EXCLUSION.format(*name.split(":")) for name in without)
        wanted = [_DEPENDENCY.format(*name.split(":"), exclusions=exclusions) for name in artifacts]
        pom.write_text(_POM.format(dependencies="".join(wanted)))
        _maven(f"-Dmaven.repo.local={folder()}/maven", f"-Dmdep.outputFile={listed}", pom=pom)
        _record(artifacts).write_text(listed.read_text())


@cache
def java_version() -> int:
    """The number before the first dot; 0 without Java. macOS has a `java` that only says there is none."""
    if not found("java"):
        return 0
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    version = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(version[1]) if version else 0


def _maven(*settings: str, pom: Path) -> None:
    command = ["mvn", "--batch-mode", "--quiet", f"--file={pom}", "dependency:build-classpath", *settings]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN, check=False)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"Maven had not fetched everything after {_WITHIN:g} s; what it has is kept") from None
    if done.returncode:
        raise RuntimeError(f"Maven could not fetch it: {done.stdout[:2000]}")


def _record(artifacts: Sequence[str]) -> Path:
    return folder() / "-".join(artifacts[0].split(":")[1:])


@contextmanager
def _alone() -> Iterator[None]:
    """One at a time: a Maven repository is not made for two writers."""
    with (folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
