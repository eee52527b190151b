"""Who holds the event loop up: a handler that blocks in an `async def`, found by a look from another thread.

Nothing is added to the path of an event. A thread looks now and then at what the loop's thread is doing. Where it finds
a handler among the calls that have not returned, it asks the loop for a sign of life, and tells when none comes.
"""

import asyncio
import contextlib
import functools
import inspect
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import CodeType
from typing import Any

import msgspec

from tidings.handling.subscription import Subscription

logger = logging.getLogger("tidings")
LIMIT = 0.25  # seconds without a sign
_PAUSE = 1.0  # seconds between two looks, each of which costs an idle process a little
_STARVED = 1.5  # times the limit: a wait that took longer says that the machine stood still, and not the loop


class Standstill(msgspec.Struct, frozen=True):
    """A handler that kept the event loop for longer than `LIMIT`, and the line in it that did."""

    group: str
    handler: str
    file: str
    line: int

    def __str__(self) -> str:
        return (
            f"blocked group={self.group} at {self.file}:{self.line}: the event loop stood still for more than"
            f" {LIMIT * 1000:g} ms, and every other handler with it; write {self.handler} as a plain 'def', which runs"
            f" in a thread, or await what it waits for"
        )


def _warn(found: Standstill) -> None:
    logger.warning("%s", found)


@contextlib.contextmanager
def standstills_told(
    subscriptions: Iterable[Subscription], tell: Callable[[Standstill], None] = _warn
) -> Iterator[None]:
    """While the block lasts, tell of each `async def` handler, once, that holds up the running event loop.

    `tell` is called on a thread of its own.
    """
    codes = {
        code: each.name
        for each in subscriptions
        if each.form.is_async and (code := _code_of(each.form.handler)) is not None
    }
    if not codes:
        yield
        return
    watch = _Watch(asyncio.get_running_loop(), codes, tell)
    threading.Thread(target=watch.run, name="tidings-standstill", daemon=True).start()
    try:
        yield
    finally:
        watch.ended.set()  # it is not waited for: it may be waiting for this very loop


class _Watch:
    def __init__(
        self, loop: asyncio.AbstractEventLoop, codes: Mapping[CodeType, str], tell: Callable[[Standstill], None]
    ) -> None:
        self.ended = threading.Event()
        self._loop = loop
        self._thread = threading.get_ident()
        self._codes = codes
        self._tell = tell
        self._told: set[str] = set()

    def run(self) -> None:
        """Look and ask; until it is ended, or the loop is closed."""
        while not self.ended.wait(_PAUSE):
            if self._seen() is None:
                continue  # an idle loop is not woken
            sign = threading.Event()
            try:
                self._loop.call_soon_threadsafe(sign.set)
            except RuntimeError:
                return
            began = time.monotonic()
            while not sign.wait(LIMIT) and not self.ended.is_set():
                now = time.monotonic()
                if now - began < LIMIT * _STARVED and (found := self._seen()) is not None:
                    self._told.add(found.group)
                    self._tell(found)
                began = now

    def _seen(self) -> Standstill | None:
        """A handler that has not returned control to the loop, and was not told of before."""
        frame = sys._current_frames().get(self._thread)
        while frame is not None:
            code = frame.f_code
            group = self._codes.get(code)
            if group is not None and group not in self._told:
                return Standstill(group, code.co_qualname, code.co_filename, frame.f_lineno)
            frame = frame.f_back
        return None


def _code_of(handler: Any) -> CodeType | None:
    while isinstance(handler, functools.partial):
        handler = handler.func
    function = inspect.unwrap(handler)
    if not inspect.isroutine(function):
        function = type(function).__call__
    code = getattr(function, "__code__", None)
    return code if isinstance(code, CodeType) else None
