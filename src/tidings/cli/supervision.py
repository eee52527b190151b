"""Workers kept running: started, started again when they crash, told to stop, and killed when they do not."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator

from tidings.cli.worker import UNFIT

_BACKOFF = (0.25, 10.0)  # seconds before a worker is started again: first, longest
_STEADY = 10.0  # seconds after which a crash is the first one again
_MARGIN = 5.0  # seconds beyond the application's own drain
_KILLED = 1.0  # seconds for a killed process to be gone


class Supervisor:
    """Runs `count` workers of an application, each in a session of its own: signals reach them from here alone."""

    def __init__(self, name: str, count: int, *, drain: float, watches: bool) -> None:
        self._name = name
        self._count = count
        self._grace = drain + _MARGIN
        self._watches = watches
        self._ending = asyncio.Event()
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._changed: dict[int, asyncio.Event] = {}
        self._code = 0

    async def run(self) -> int:
        """Keep them running until told to stop; the exit code."""
        with self._signals():
            async with asyncio.TaskGroup() as tasks:
                for number in range(1, self._count + 1):
                    self._changed[number] = asyncio.Event()
                    tasks.create_task(self._keep(number))
                if self._watches:
                    tasks.create_task(self._watch())
        return self._code

    async def _keep(self, number: int) -> None:
        loop, failures, changed = asyncio.get_running_loop(), 0, self._changed[number]
        while not self._ending.is_set():
            changed.clear()
            began = loop.time()
            async with self._process(number) as process:
                code = await self._until_ended(process, changed)
            if self._ending.is_set() or changed.is_set():
                continue
            if code == UNFIT and not self._watches:
                self._code = 1
                self._ending.set()
                return
            failures = 1 if loop.time() - began > _STEADY else failures + 1
            wait = min(_BACKOFF[0] * 2 ** (failures - 1), _BACKOFF[1])
            if code == UNFIT:
                _say(f"worker {number} waits for a change")
                await _first(self._ending, changed)
            else:
                _say(f"worker {number} (process {process.pid}) {_how(code)}; it starts again in {wait:g} s")
                await _first(self._ending, changed, within=wait)

    @contextlib.asynccontextmanager
    async def _process(self, number: int) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tidings.cli.worker", self._name),
            stdin=asyncio.subprocess.PIPE,  # when we die, however we do, it closes, and the worker stops
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for us, or the worker would take our word for the second signal
        )
        self._processes[number] = process
        _say(f"worker {number} is process {process.pid}")
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            del self._processes[number]

    async def _until_ended(self, process: asyncio.subprocess.Process, changed: asyncio.Event) -> int:
        ended = asyncio.create_task(process.wait())
        try:
            told = asyncio.create_task(_first(self._ending, changed))
            await asyncio.wait([ended, told], return_when=asyncio.FIRST_COMPLETED)
            told.cancel()
            if not ended.done():
                _send(process, signal.SIGTERM)
                await asyncio.wait([ended], timeout=self._grace)
            if not ended.done():
                _say(f"process {process.pid} did not stop within {self._grace:g} s and is killed")
                _send(process, signal.SIGKILL)
            return await asyncio.wait_for(ended, _KILLED + self._grace)
        finally:
            ended.cancel()

    async def _watch(self) -> None:
        from watchfiles import PythonFilter, awatch

        async for changes in awatch(".", watch_filter=PythonFilter(), stop_event=self._ending, rust_timeout=500):
            names = sorted({path.rpartition(os.sep)[2] for _, path in changes})
            _say(f"{', '.join(names)} changed: the workers start again")
            for changed in self._changed.values():
                changed.set()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, self._told, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _told(self, number: int) -> None:
        if not self._ending.is_set():
            _say(f"{signal.Signals(number).name}: the workers finish what they have in hand; once more ends them now")
            self._ending.set()
            return
        self._code = 1
        for process in self._processes.values():
            _send(process, signal.SIGKILL)


async def _first(*events: asyncio.Event, within: float | None = None) -> None:
    """Return when one of the events is set, or after a while."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _how(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _say(sentence: str) -> None:
    print(f"tidings: {sentence}", file=sys.stderr, flush=True)


def _environment() -> dict[str, str]:
    """A worker imports what its supervisor can, and what its handlers print is seen at once."""
    path = os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))
    return {"PYTHONUNBUFFERED": "1", **os.environ, "PYTHONPATH": path}
