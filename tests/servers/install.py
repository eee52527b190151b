"""`make servers`: what the tests' private servers are made of is installed, where it is absent; no daemon is started.

As root on Debian and its kin it comes from apt; what runs on Java is fetched by Maven, for anybody. What cannot be had
is named, and the tests that need it are skipped.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers.every import SERVERS
from tests.servers.maven import JavaServer, fetch, java_version
from tests.servers.server import found

_POLICY = Path("/usr/sbin/policy-rc.d")  # what Debian's packages ask whether they may start their daemon
_WITHIN = 900.0  # seconds; a mirror that hangs is given up


def main() -> int:
    """Install what is absent and say what could not be had; always 0, as the tests that need it will tell."""
    absent = [kind for kind in SERVERS if kind.missing()]
    lacking = [kind for kind in absent if not issubclass(kind, JavaServer) or kind.lacks_java()]
    if packages := sorted({package for kind in lacking for package in kind.packages}):
        _install(packages)
        java_version.cache_clear()
    for kind in absent:
        if issubclass(kind, JavaServer) and not kind.lacks_java():
            _fetch(kind)
    for kind in absent:
        if reason := kind.missing():
            print(f"servers: {reason}", file=sys.stderr)
    return 0


def _install(packages: Sequence[str]) -> None:
    if not found("apt-get") or os.geteuid() != 0:
        return
    print(f"servers: installing {', '.join(packages)}", flush=True)
    options = ["-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"]
    try:
        with _no_daemons():
            _run("apt-get", *options, "update")
            _run("apt-get", *options, "install", "-y", "--no-install-recommends", *packages)
    except (subprocess.SubprocessError, OSError) as error:
        print(f"servers: {error}", file=sys.stderr)


def _fetch(kind: type[JavaServer]) -> None:
    print(f"servers: fetching {kind.artifacts[0]}", flush=True)
    try:
        fetch(kind.artifacts, without=kind.without)
    except (RuntimeError, OSError) as error:
        print(f"servers: {error}", file=sys.stderr)


def _run(*command: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, env=environment, timeout=_WITHIN, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        print(done.stdout.decode(errors="replace")[-4000:], file=sys.stderr)
        done.check_returncode()


@contextmanager
def _no_daemons() -> Iterator[None]:
    """Answer 101, "forbidden", to packages that ask; what stood there before stands there again afterwards."""
    before = _POLICY.read_bytes() if _POLICY.exists() else None
    mode = _POLICY.stat().st_mode if before is not None else 0o755
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if before is None:
            _POLICY.unlink()
        else:
            _POLICY.write_bytes(before)
            _POLICY.chmod(mode)


if __name__ == "__main__":
    sys.exit(main())
