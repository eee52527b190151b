"""Postgres, which does not run as root: there it is `nobody`."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from tests.servers.processes import group_of
from tests.servers.server import Server, found, talk

_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")  # off the path
_STARTUP = b"\x00\x03\x00\x00user\x00tidings\x00database\x00postgres\x00\x00"
_AUTHENTICATED = b"R\x00\x00\x00\x08\x00\x00\x00\x00"


class PostgresServer(Server):
    """A private Postgres."""

    name = "postgresql"
    program = "postgres"
    packages = ("postgresql",)
    brew = "postgresql@17"
    stops_by = signal.SIGINT  # "fast": sessions are ended, not waited for
    user = "nobody" if os.name == "posix" and os.geteuid() == 0 else None

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot be started here; None when it can."""
        return None if binaries() else super().missing()

    @property
    def url(self) -> str:
        """Where clients connect, as a superuser, to the database that is always there."""
        return self._url("postgres")

    def database(self) -> str:
        """The URL of a new, empty database: one a test, on a server that many share."""
        import psycopg  # not needed to install or run a server

        name = f"test_{uuid4().hex[:12]}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'create database "{name}"'.encode())
        return self._url(name)

    def prepare(self) -> None:
        """Make a cluster of databases, which belongs to who runs it."""
        if self.user:
            shutil.chown(self.folder, self.user, group_of(self.user))
        make = "-U tidings -A trust -E UTF8 --no-locale --no-sync"
        subprocess.run(
            [str(_binary("initdb")), "-D", str(self.folder / "data"), *make.split()],
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            timeout=self.starts_within,
            user=self.user,
            group=group_of(self.user) if self.user else None,
            extra_groups=[] if self.user else None,
        )

    def command(self) -> Sequence[str]:
        """Sockets lie in the server's folder too."""
        where = f"-D {self.folder}/data -k {self.folder} -h 127.0.0.1 -p {self.port}"
        chosen = {"max_connections": "200"} | self.settings
        settings = [word for name, value in chosen.items() for word in ("-c", f"{name}={value}")]
        return [str(_binary("postgres")), *where.split(), *settings]

    def answers(self) -> bool:
        """It lets a session in; while it recovers, it says why not."""
        return talk(self.port, say=(len(_STARTUP) + 4).to_bytes(4) + _STARTUP).startswith(_AUTHENTICATED)

    def _url(self, database: str) -> str:
        return f"postgresql://tidings@127.0.0.1:{self.port}/{database}"


def binaries() -> Path | None:
    """The folder with `postgres` and `initdb`, of the newest version that is installed."""
    places = [path for pattern in _PLACES for path in Path("/").glob(pattern[1:]) if (path / "initdb").exists()]
    if places:
        return max(places, key=lambda path: int(re.findall(r"\d+", str(path))[-1]))
    on_path = found("postgres")
    return Path(on_path).resolve().parent if on_path and found("initdb") else None


def _binary(name: str) -> Path:
    folder = binaries()
    assert folder, PostgresServer.missing()
    return folder / name
