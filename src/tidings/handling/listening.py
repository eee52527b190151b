"""`app.listen(...)`: live events of the log as an async iterator, for whoever wants to see and not to answer.

Nothing is recorded: no group, no cursor, no retry. A listener that must not miss anything keeps the position of what it
has seen, and begins there again with `after`.
"""

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, Self

from tidings.concurrency import is_being_cancelled
from tidings.errors import ConfigurationError, UnreadableEvent
from tidings.events import Catalog, Contract, Pattern, PatternSet
from tidings.handling.delivery import Item, event_of
from tidings.handling.feed import Feed
from tidings.handling.subscription import pattern_of
from tidings.log import START, Log
from tidings.log.tailing import SLOW_LOOK


class Listener(AsyncIterator[Any]):
    """Events as they come, for one reader: read, or `async with`, until `aclose` or the application closes.

    Raises, while it is read:
        UnreadableEvent: an event cannot be decoded; reading on goes on behind it.
        LogTruncated, LogDamaged: the place to begin at, or a record there, is not what it was.
    """

    def __init__(self, room: "ListeningRoom", feed: Feed, hears: PatternSet, after: str, **wishes: Any) -> None:
        self._room = room
        self._feed = feed
        self._hears = hears
        self._after: str | None = None if after == "latest" else START if after == "earliest" else after
        self._events: bool = wishes["events"]
        self._skips: bool = wishes["undecodable"] == "skip"
        self._waiting: deque[Item] = deque()  # at most one look
        self._is_read = False
        self._is_closed = False

    async def __aenter__(self) -> Self:
        """Take its place in the log: it hears what is published from here on."""
        await self._begin()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Listen no more; who waits for the next event is told that it is over."""
        self._is_closed = True
        self._waiting.clear()
        self._room.log.bell.ring()

    async def __anext__(self) -> Any:
        if self._is_read:
            raise RuntimeError("another task is reading this listener: give each reader its own")
        self._is_read = True
        try:
            while True:
                if not self._waiting:
                    await self._look()
                item = self._waiting.popleft()
                if item.failure is None:
                    return event_of(item) if self._events else item.value
                if not self._skips:
                    raise UnreadableEvent(item.position, item.record.type, str(item.failure)) from item.failure
        finally:
            self._is_read = False

    async def _begin(self) -> str:
        if self._after is None:
            self._after = await self._room.log.head()
        return self._after

    async def _look(self) -> None:
        """Return when something waits.

        Raises:
            StopAsyncIteration: it is closed.
        """
        bell = self._room.log.bell
        ear = bell.listen()  # before the look, so that nothing comes unheard between them
        try:
            while not self._waiting:
                if self._is_over:
                    raise StopAsyncIteration
                if not await self._fetch():
                    await ear.wait(SLOW_LOOK)
        finally:
            bell.forget(ear)

    async def _fetch(self) -> bool:
        """One look; False when there is no more to see for now."""
        try:
            fetched = await self._feed.look(await self._begin(), None, lean=not self._events)
        except BaseException:
            if self._is_over and not is_being_cancelled():  # the log was closed under the look
                raise StopAsyncIteration from None
            raise
        self._after = fetched.slice.upto
        if not self._is_over:
            self._waiting.extend(self._feed.own(fetched, self._hears) if fetched.items else ())
        return bool(self._waiting) or not fetched.slice.at_head

    @property
    def _is_over(self) -> bool:
        return self._is_closed or self._room.is_closed


class ListeningRoom:
    """The listeners of one open application: those of like wishes look at the log, and decode, together."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.is_closed = False
        self._feeds: weakref.WeakValueDictionary[Any, Feed] = weakref.WeakValueDictionary()  # as long as one listens

    def listen(
        self,
        heard: Sequence[str | type | Contract],
        catalog: Catalog,
        *,
        after: str = "latest",
        events: bool = False,
        undecodable: Literal["raise", "skip"] = "raise",
    ) -> Listener:
        """A listener to what is `heard`: names, patterns, `@event` classes or Contracts; none: everything.

        Raises:
            ConfigurationError, InvalidName: it cannot be heard so.
        """
        if undecodable not in ("raise", "skip"):
            raise ConfigurationError(f"undecodable={undecodable!r} is unknown: use 'raise' or 'skip'")
        patterns = tuple(dict.fromkeys(pattern_of(each) for each in heard)) or ("**",)
        spoken = [each for each in heard if not isinstance(each, str)]
        known = Catalog.collect(catalog, *spoken)
        feed = self._feed(patterns, known)
        return Listener(self, feed, PatternSet(patterns), after, events=events, undecodable=undecodable)

    def close(self) -> None:
        """End every listener; the log is about to close."""
        self.is_closed = True
        for feed in list(self._feeds.values()):
            feed.close()
        self.log.bell.ring()

    def _feed(self, patterns: tuple[str, ...], catalog: Catalog) -> Feed:
        literal = all(Pattern(each).literal for each in patterns)
        types = frozenset(patterns) if literal else None
        wishes = (types, catalog.contracts, asyncio._get_running_loop())  # each loop has looks of its own
        feed = self._feeds.get(wishes)
        if feed is None:
            feed = self._feeds[wishes] = Feed(self.log, catalog, types)
        return feed
