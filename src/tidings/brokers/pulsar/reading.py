"""The thread that waits for a consumer's messages, as the client calls back for each message or blocks for many."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from tidings.brokers.pulsar.failures import failure
from tidings.brokers.pulsar.library import core
from tidings.concurrency import DedicatedThread
from tidings.errors import BrokerError

_LOOK: Final = 200  # milliseconds between looks at whether it is to end, when nothing comes
_PAUSE: Final = 0.2  # seconds, likewise, when there is no room
_ENDS_WITHIN: Final = 2.0  # seconds; of a client that was closed meanwhile, a call may never return


class Reading:
    """Messages of one consumer that were not looked at yet: about `limit` of them, then it waits for `go_on`."""

    def __init__(self, url: str, consumer: Any, limit: int, ring: Callable[[], None]) -> None:
        self.buffer: deque[Any] = deque()
        self.failed: BrokerError | None = None
        self._url = url
        self._consumer = consumer
        self._limit = limit
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._has_room = threading.Event()
        self._is_closed = False
        self._thread = DedicatedThread("tidings-pulsar")
        self._ended = self._thread.call(self._read)

    def go_on(self) -> None:
        """There may be room again."""
        self._has_room.set()

    def stop(self) -> None:
        """Read no more than what is being read."""
        self._is_closed = True
        self._has_room.set()

    async def end(self) -> None:
        """Stop; once this has returned, nobody waits on the consumer any more, and it can be closed."""
        self.stop()
        self._thread.close(wait=False)
        await asyncio.wait([self._ended], timeout=_ENDS_WITHIN)

    def _read(self) -> None:
        pulsar = core()
        while not self._is_closed:
            try:
                self._read_some(pulsar.Timeout)
            except pulsar.PulsarException as raised:
                self.failed = failure(self._url, raised, "receiving")
                self._tell()
                return

    def _read_some(self, nothing: type[Exception]) -> None:
        """What comes first is told at once; what comes with it, together."""
        try:
            found = [self._consumer.receive(_LOOK)]
        except nothing:
            return
        while found and not self._is_closed:
            self.buffer.extend(found)
            self._tell()
            self._wait_for_room()
            found = list(self._consumer.batch_receive())

    def _wait_for_room(self) -> None:
        while len(self.buffer) >= self._limit and not self._is_closed:
            self._has_room.clear()
            if len(self.buffer) >= self._limit:
                self._has_room.wait(_PAUSE)

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._ring)
