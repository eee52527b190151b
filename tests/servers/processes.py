"""A program with all it starts, as one thing that is frozen, killed and ended: in a session of its own.

Some servers give their children sessions or groups of their own (Postgres, Erlang), and a signal to the group would
leave those running. So it is looked up who belongs to it: its session, and whatever descends from that.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep

import psutil

ENDS_WITHIN = 30.0  # seconds from a polite signal to the impolite one
_POLL = 0.01
_GUARD = 'cat >/dev/null; kill -s KILL -- "-$1"; rm -rf -- "$2"'  # its input ends when the process of the tests does


class Session:
    """A running program and its descendants."""

    def __init__(
        self, command: Sequence[str], *, folder: Path, environment: Mapping[str, str], output: Path, user: str | None
    ) -> None:
        with output.open("ab") as stream:
            self._leader = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=folder,
                start_new_session=True,
                user=user,
                group=None if user is None else group_of(user),
                extra_groups=None if user is None else [],
            )
        # Should the tests be killed, nobody is left to end it by `kill`.
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "guard", str(self.pid), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The number of the program itself, and of its session."""
        return self._leader.pid

    @property
    def is_running(self) -> bool:
        """Has the program itself not ended yet?"""
        return self._leader.poll() is None

    def members(self) -> list[psutil.Process]:
        """All processes of it that live, the program itself first."""
        alive = {process.pid: process for process in psutil.process_iter(["ppid", "status"]) if _lives(process)}
        ours = {pid for pid in alive if _session_of(pid) == self.pid}
        while more := {pid for pid, process in alive.items() if process.info["ppid"] in ours} - ours:
            ours |= more
        return [alive[pid] for pid in sorted(ours, key=lambda pid: (pid != self.pid, pid))]

    def listens(self, port: int) -> bool:
        """Is it one of these, and nobody else, who answers on this port?"""
        try:
            return any(
                connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
                for process in self.members()
                for connection in process.net_connections("inet")
            )
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:  # root without the right to look at others, in a container
            return self.is_running

    def pause(self) -> None:
        """SIGSTOP; returns when none of it runs any more."""
        self._tell(signal.SIGSTOP)  # first the one that starts others, or one might be missed
        members = self.members()
        for process in members:
            _send(process, signal.SIGSTOP)
        # One that was just ending stays a zombie, as who would bury it stands still.
        _wait(
            lambda: not any(_lives(each) and _status(each) != psutil.STATUS_STOPPED for each in members), "it runs on"
        )

    def resume(self) -> None:
        """SIGCONT."""
        for process in reversed(self.members()):
            _send(process, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL to all of it at once; returns when all are gone. Nothing happens when it has ended."""
        if self.is_running:
            self._tell(signal.SIGSTOP)
        self._sweep(self.members())

    def end(self, number: signal.Signals) -> None:
        """Ask it to end by this signal; what has not ended in time is killed."""
        members = self.members()
        for process in members:
            _send(process, signal.SIGCONT)
        self._tell(number)
        try:
            self._leader.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            members = self.members()
        self._sweep([*members, *self.members()])

    def _sweep(self, members: list[psutil.Process]) -> None:
        for process in members:
            _send(process, signal.SIGKILL)
        _wait(lambda: not any(_lives(process) for process in members), "it outlived SIGKILL")
        self._leader.wait(ENDS_WITHIN)
        self._guard.kill()
        self._guard.communicate(timeout=ENDS_WITHIN)

    def _tell(self, number: signal.Signals) -> None:
        if self.is_running:
            self._leader.send_signal(number)


def group_of(user: str) -> int:
    """The group that a user's programs run in."""
    import pwd  # not on Windows, where the tests of servers are skipped

    return pwd.getpwnam(user).pw_gid


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:  # gone meanwhile, or another user's on a system that does not tell
        return -1


def _status(process: psutil.Process) -> str:
    try:
        return process.status() if process.is_running() else psutil.STATUS_DEAD
    except psutil.NoSuchProcess:
        return psutil.STATUS_DEAD


def _lives(process: psutil.Process) -> bool:
    """A zombie has ended; in a container there may be nobody who takes note of it."""
    return _status(process) not in (psutil.STATUS_DEAD, psutil.STATUS_ZOMBIE)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)  # never to another process that got its number
    except psutil.NoSuchProcess:
        pass


def _wait(done: Callable[[], bool], otherwise: str) -> None:
    deadline = monotonic() + ENDS_WITHIN
    while not done():
        if monotonic() > deadline:
            raise TimeoutError(f"a server's process: {otherwise} within {ENDS_WITHIN:g} s")
        sleep(_POLL)
