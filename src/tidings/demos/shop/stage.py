"""The stage: the four services as processes, kept running, looked at, and ended by their process ids."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from tidings import TidingsError
from tidings.demos.shop.ground import Place
from tidings.demos.shop.place import READY
from tidings.demos.shop.summary import TABLES
from tidings.log import Log, open_log

START_WITHIN = 30.0  # seconds
END_WITHIN = 15.0
CRASHES = 3  # of one service, beyond the one we cause


class ShopFailed(TidingsError):
    """The demo cannot go on; the message names the service."""


class Sight(msgspec.Struct, frozen=True):
    """One service at one moment."""

    name: str
    pid: int | None
    done: int  # orders in its table
    lag: int
    retry: int
    dead: int
    starts: int


class Service:
    """One service: its process, started again when it dies, and its log, opened here to look at it."""

    def __init__(self, name: str, place: Place, say: Callable[[str], None]) -> None:
        self.name = name
        self.starts = 0
        self.process: asyncio.subprocess.Process | None = None
        self._place = place
        self._say = say
        self._ending = False
        self._log: Log | None = None
        self._killed = False
        self._keeper: asyncio.Task[None] | None = None

    async def set_up(self) -> None:
        """Have its broker ready before anything is published: some hand a new group only what comes after it.

        Raises:
            ShopFailed: the broker is not there, or does not let us.
        """
        if not self._place.broker:
            return
        command = (sys.executable, "-m", "tidings", "setup", "--app", f"tidings.demos.shop.{self.name}:app")
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, env=self._environment
        )
        _, said = await asyncio.wait_for(process.communicate(), START_WITHIN)
        if process.returncode:
            reason = said.decode(errors="replace").strip().removeprefix("tidings: ")
            raise ShopFailed(f"{self.name} could not be set up: {reason}")

    async def start(self) -> None:
        """Return when it is ready, and keep it running from then on."""
        await self._spawn()
        self._log = await open_log(self._place.log_of(self.name))
        self._keeper = asyncio.create_task(self._keep(), name=self.name)

    async def kill(self) -> None:
        """SIGKILL, from which no process learns anything."""
        process = self.process
        if process is not None:
            self._killed = True
            process.send_signal(signal.SIGKILL)
            await asyncio.wait_for(process.wait(), END_WITHIN)

    async def end(self) -> None:
        """Tell it to stop, and wait; kill it when it does not."""
        self._ending = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        await self._end_process()
        if self._log is not None:
            await self._log.close()

    def check(self) -> None:
        """Raise what ended the keeping of it."""
        if self._keeper is not None and self._keeper.done():
            self._keeper.result()

    async def look(self) -> Sight:
        """How it does."""
        assert self._log is not None
        groups = [each for each in await self._log.ledger.groups() if not each.name.endswith(":outbound")]
        async with self._log.transaction() as tx:
            rows = await tx.fetch(f"SELECT count(*) FROM {TABLES[self.name]}")
        pid = self.process.pid if self.process is not None and self.process.returncode is None else None
        lag, retry, dead = (sum(getattr(each, name) for each in groups) for name in ("lag", "retry", "dead"))
        return Sight(self.name, pid, rows[0][0], lag, retry, dead, self.starts)

    async def _keep(self) -> None:
        crashes = 0
        while True:
            assert self.process is not None
            code = await self.process.wait()
            was_killed, self._killed = self._killed, False
            crashes += not was_killed
            if crashes > CRASHES:
                raise ShopFailed(f"{self.name} ends again and again (exit code {code}): {self._last_words()}")
            await self._spawn()
            self._say(f"{self.name} is back as process {self.process.pid}")

    async def _spawn(self) -> None:
        with self._errors.open("ab") as errors:
            self.process = process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", f"tidings.demos.shop.{self.name}"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for us: we tell them
            )
        self.starts += 1
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), START_WITHIN)
        except TimeoutError:
            line = b""
        if line.decode().strip() != READY:
            raise ShopFailed(f"{self.name} did not start: {self._last_words()}")

    async def _end_process(self) -> None:
        process = self.process
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), END_WITHIN)
        except TimeoutError:
            self._say(f"{self.name} did not stop within {END_WITHIN:g} s and is killed")
            process.kill()
            await process.wait()

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self._place.environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    @property
    def _errors(self) -> Path:
        return self._place.folder / f"{self.name}.err"

    def _last_words(self) -> str:
        lines = self._errors.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it said nothing; see {self._errors}"
