"""What all private servers share: a folder and ports of their own, a start that waits for an answer, and an end.

Calls block. An `async def` test, whose loop is watched, makes them in a thread: `await to_thread(server.kill9)`.
"""

import atexit
import os
import random
import re
import shutil
import signal
import socket
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import ClassVar, Self

from tests.servers.processes import Session

_POLL = 0.01
_IN_USE = re.compile(r"address (is )?(already )?in use|eaddrinuse", re.IGNORECASE)
# Below the ports that systems give to outgoing connections: a killed server's port is not taken by a client that
# reconnects, nor does such a client get through to itself.
_PORTS = range(20_000, 32_000)
_SBIN = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")  # not on everybody's path


class NotStarted(AssertionError):
    """A server ended, or did not answer in time; with the end of what it printed."""


class Server(ABC):
    """One server, which does not run yet; its folder, and so its data, is kept until `close`.

    As a context manager it is started at once and closed at the end. Settings are the server's own, by the names it
    gives to them: `RedisServer(maxmemory="8mb")`.
    """

    name: ClassVar[str]  # as in its URL
    program: ClassVar[str]  # what it is found by
    packages: ClassVar[Sequence[str]]  # of Debian; the first is the server
    brew: ClassVar[str]  # what it is called there, on macOS
    port_count: ClassVar[int] = 1
    stops_by: ClassVar[signal.Signals] = signal.SIGTERM
    starts_within: ClassVar[float] = 60.0  # seconds; far more than is ever needed, as machines that test are busy
    user: ClassVar[str | None] = None  # who runs it; None: who runs the tests

    def __init__(self, **settings: str) -> None:
        self.settings = settings
        self.folder = Path(tempfile.mkdtemp(prefix=f"tidings-{self.name}-", dir="/tmp"))  # short: sockets live in it
        self.ports: Sequence[int] = ()
        self.output = self.folder / "output.txt"
        self._session: Session | None = None
        self._is_prepared = False
        self._owner = os.getpid()
        atexit.register(self.close)

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot be started here and what to do about it; None when it can."""
        if found(cls.program):
            return None
        return f"{cls.program} is not installed: `make servers` as root, or {cls.install_line()}"

    @classmethod
    def install_line(cls) -> str:
        """What a person types to have it."""
        return f"`apt install {' '.join(cls.packages)}`, on macOS `brew install {cls.brew}`"

    @property
    def port(self) -> int:
        """Where clients connect, on 127.0.0.1; the same after a restart."""
        return self.ports[0]

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect, as an application is told."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What is run; called before each start, when ports are known, so it may write configuration too."""

    @abstractmethod
    def answers(self) -> bool:
        """Does it do work yet? One question on a new connection, and an OSError where there is no answer."""

    def is_answering(self) -> bool:
        """Does it do work now? What does not answer within a second does not."""
        try:
            return self.answers()
        except OSError:
            return False

    def environment(self) -> Mapping[str, str]:
        """What the program finds in its environment."""
        return os.environ

    def prepare(self) -> None:
        """Done once, before the first start; most have nothing to do."""
        return

    @property
    def pids(self) -> list[int]:
        """The numbers of all its processes; the first is the program itself."""
        return [process.pid for process in self._session.members()] if self._session else []

    def start(self) -> Self:
        """Start it and wait until it answers; the first time on free ports, later on the same.

        Raises:
            NotStarted: it ended or did not answer in time.
        """
        assert self._session is None, f"this {self.name} server runs already"
        is_first = not self.ports
        if not self._is_prepared:
            self.prepare()
            self._is_prepared = True
        for is_last in (False, True):
            if is_first:
                self.ports = free_ports(self.port_count)
            try:
                self._launch()
                break
            except NotStarted as error:
                if is_last or not _IN_USE.search(str(error)):
                    raise
        return self

    def stop(self) -> None:
        """End it as an operator would; its data stays."""
        if session := self._take():
            session.end(self.stops_by)

    def kill9(self) -> None:
        """SIGKILL to all its processes at once; its data stays."""
        if session := self._take():
            session.kill()

    def restart(self) -> None:
        """Stop it, if it runs, and start it again with its data on the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it: it keeps its connections and says nothing more."""
        assert self._session, f"this {self.name} server does not run"
        self._session.pause()

    def resume(self) -> None:
        """Let it go on after `pause`."""
        assert self._session, f"this {self.name} server does not run"
        self._session.resume()

    def close(self) -> None:
        """End it whatever it does, and remove its folder."""
        if os.getpid() != self._owner:
            return  # a fork of the tests ends; the server is not its own
        self.kill9()
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _take(self) -> Session | None:
        session, self._session = self._session, None
        return session

    def _launch(self) -> None:
        printed = self.output.stat().st_size if self.output.exists() else 0
        self._session = Session(
            self.command(), folder=self.folder, environment=self.environment(), output=self.output, user=self.user
        )
        deadline = monotonic() + self.starts_within
        while not (self.is_answering() and self._session.listens(self.port)):
            is_running = self._session.is_running
            if not is_running or monotonic() > deadline:
                self.kill9()
                how = "did not answer in time" if is_running else "ended"
                raise NotStarted(f"{self.name} {how}; it printed:\n{self._printed_since(printed)}")
            sleep(_POLL)

    def _printed_since(self, place: int) -> str:
        return self.output.read_bytes()[place:][-8000:].decode(errors="replace")


def found(program: str) -> str | None:
    """Where a program is."""
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), *_SBIN]))


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now, drawn at random, as other runs of the tests draw theirs."""
    chance = random.SystemRandom()
    ports: list[int] = []
    for port in chance.sample(_PORTS, 1000):
        if len(ports) == count:
            return ports
        if _is_free(port):
            ports.append(port)
    raise NotStarted("no free port between 20000 and 32000: 'address already in use'")


def talk(port: int, *, say: bytes = b"") -> bytes:
    """What is answered on a new connection, as far as it comes in one piece."""
    with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
        connection.sendall(say)
        return connection.recv(4096)


def _is_free(port: int) -> bool:
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
