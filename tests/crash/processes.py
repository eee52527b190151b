"""The children of a crash test: started, listened to, killed. Every wait has a limit, and nothing outlives its test.

A child says a line on its standard output for each thing its test has to know, in one write, so that a killed one has
said it whole or not at all. What it writes to its standard error is shown when it ends unasked.
"""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import tidings

WITHIN = 60.0  # seconds any wait may take; far more than is ever needed, as machines that test are busy
_ROOT = Path(__file__).parents[2]
_PATHS = [str(Path(tidings.__file__).parents[1]), str(_ROOT)]  # also right where tidings is installed


class Ended(AssertionError):
    """A child ended, or said nothing for too long, while its test waited for it."""


class Child:
    """One process, running a program of `tests.crash.programs`."""

    def __init__(self, program: str, *arguments: object, errors: Path, before: tuple[str, ...] = ()) -> None:
        self.program = program
        self._errors = errors
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(_PATHS), "PYTHONDONTWRITEBYTECODE": "1"}
        with errors.open("ab") as stream:
            self._process = subprocess.Popen(
                [*before, sys.executable, "-m", f"tests.crash.programs.{program}", *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env=environment,
                cwd=_ROOT,
                bufsize=-1,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._lines: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, name=f"{program}-{self.pid}", daemon=True)
        self._listener.start()  # a child that nobody listens to would stand still when its pipe is full

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Has it not ended yet?"""
        return self._process.poll() is None

    def heard(self, *, within: float = WITHIN) -> list[str]:
        """The words of the next line; none when the child has ended.

        Raises:
            Ended: it said nothing in time.
        """
        try:
            line = self._lines.get(timeout=within)
        except queue.Empty:
            raise Ended(f"{self.program} said nothing for {within} s\n{self.errors()}") from None
        if not line:
            self._lines.put(line)  # whoever asks again is told the same
        return line

    def lines(self, *, within: float = WITHIN) -> Iterator[list[str]]:
        """What it says, until it ends."""
        while line := self.heard(within=within):
            yield line

    def expect(self, word: str, *, within: float = WITHIN) -> list[str]:
        """The next line that begins with `word`; others are passed over.

        Raises:
            Ended: there was none.
        """
        for line in self.lines(within=within):
            if line[0] == word:
                return line
        raise Ended(f"{self.program} ended with {self._process.wait(WITHIN)} before it said {word!r}\n{self.errors()}")

    def listen(self, lines: int, *, within: float = 0.5) -> None:
        """Wait until it has said so much, has ended, or has nothing to say for a while."""
        try:
            for _, _ in zip(range(lines), self.lines(within=within), strict=False):
                pass
        except Ended:
            pass

    def tell(self, *words: object) -> None:
        """Write it a line."""
        self._stdin.write((" ".join(map(str, words)) + "\n").encode())
        self._stdin.flush()

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self._process.kill()
        self.wait()

    def freeze(self) -> None:
        """SIGSTOP; returns when none of it runs any more."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self, *, within: float = WITHIN) -> int:
        """Its exit code, once it has ended; what it has said can still be heard.

        Raises:
            Ended: it is running still.
        """
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise Ended(f"{self.program} still runs after {within} s\n{self.errors()}") from None
        self._close()
        return code

    def end(self) -> None:
        """Whatever it does, it does so no more."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(WITHIN)
        self._close()

    def errors(self) -> str:
        """The end of what the children of this test wrote to their standard error."""
        return self._errors.read_text(errors="replace")[-4000:]

    def _listen(self) -> None:
        for line in self._stdout:
            if line.endswith(b"\n"):
                self._lines.put(line.decode().split())
        self._lines.put([])

    def _close(self) -> None:
        self._stdin.close()
        self._listener.join(WITHIN)
        self._stdout.close()


Start = Callable[..., Child]


class Children:
    """All that one test starts."""

    def __init__(self, folder: Path) -> None:
        self._errors = folder / "errors.txt"
        self._started: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        for child in self._started:
            child.end()

    def start(self, program: str, *arguments: object, before: tuple[str, ...] = ()) -> Child:
        """Start one; its stdin and stdout are pipes to the test."""
        child = Child(program, *arguments, errors=self._errors, before=before)
        self._started.append(child)
        return child
