"""What both kinds of inbox share: reading ahead by one call, handing over as much as may be unsettled, and ending."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

from tidings.brokers.interface import Arrival
from tidings.brokers.redis.entries import Entries
from tidings.brokers.redis.link import Link
from tidings.brokers.redis.part import Part, Waiting
from tidings.errors import BrokerError
from tidings.events import PatternSet

BLOCK: Final = 1.0  # seconds that the server may keep a question for news; a silence beyond is trouble
_CHUNKS: Final = 8  # times what is wanted is the most that one call may bring, when all streams are full


class Receiving(ABC):
    """An inbox on a connection of its own. What is asked there is answered into `waiting`, whoever receives it.

    So a `receive` that is cancelled takes nothing with it, and while a full batch is worked on the next one comes.
    Behind one that is not full nothing lies ready: it is handed over before more is asked for.
    """

    def __init__(self, link: Link, patterns: Sequence[str], prefetch: int, entries: Entries) -> None:
        self.link = link
        self.entries = entries
        self.waiting = Waiting()
        self.open = 0  # how many were handed over and have no answer
        self.is_asking = False
        self._hears = PatternSet(patterns)
        self._prefetch = prefetch
        self._failure: Exception | None = None
        self._answered = asyncio.Event()  # something came, or ended
        self._active = 1  # how many streams had something the last time
        self._count = 1  # entries that were asked of each
        self._is_behind = False  # did one have as many? Then there is more, and the server need not wait for handlers

    def may_hand_over(self) -> bool:
        """Is what waits here still for this inbox to hand over?"""
        return True

    @abstractmethod
    def question(self, at_most: int) -> list[bytes]:
        """The next commands to be sent; the server may keep its answer for `BLOCK` seconds."""

    @abstractmethod
    def understand(self, answers: list[Any]) -> None:
        """What they were answered."""

    @abstractmethod
    def pass_over(self, part: Part, ids: list[bytes]) -> None:
        """These are not for this group: they are settled at once."""

    async def receive(self, at_most: int = 500) -> list[Arrival]:
        """What comes next."""
        while True:
            if self._failure is not None:
                raise self._failure
            self._answered.clear()
            room = min(at_most, self._prefetch - self.open)
            arrivals = self._take(room) if room > 0 and self.may_hand_over() else []
            if not self.waiting and not self.is_asking and (self._is_behind or not arrivals):
                self._ask(min(at_most, self._prefetch))
            if arrivals:
                return arrivals
            await self._wait(room)

    def fail(self, error: Exception) -> None:
        """Whoever receives is told; the connection is of no more use."""
        if self._failure is None:
            self._failure = error
        self.link.lose("its inbox ended")
        self._answered.set()

    def freed(self) -> None:
        """There may be room for more."""
        self._answered.set()

    def count(self, at_most: int, streams: int) -> int:
        """How many entries to ask of each stream, so that those which have some fill what is wanted."""
        self._count = max(1, min(at_most // self._active, _CHUNKS * at_most // max(streams, 1)))
        return self._count

    def add(self, found: Sequence[tuple[Part, list[Any]]]) -> None:
        """Entries that came, of each stream."""
        self._active = max(1, len(found))
        self._is_behind = False
        for part, entries in found:
            if len(entries) >= self._count:
                self._is_behind = True
            if not part.is_leaving:
                self.waiting.add(part, entries)

    def _take(self, room: int) -> list[Arrival]:
        arrivals: list[Arrival] = []
        while self.waiting and len(arrivals) < room:
            for part, entries in self.waiting.take(room - len(arrivals)):
                self._read(part, entries, arrivals)
        self.open += len(arrivals)
        return arrivals

    def _read(self, part: Part, entries: list[Any], arrivals: list[Arrival]) -> None:
        hears, passed = self._hears.matches, []
        for (id, _), arrival in zip(entries, self._arrivals(part, entries), strict=True):
            if hears(arrival.notice.type) or arrival.failure is not None:
                part.open.add(id)
                arrivals.append(arrival)
            else:
                passed.append(id)
        if passed:
            self.pass_over(part, passed)

    def _arrivals(self, part: Part, entries: list[Any]) -> list[Arrival]:
        if part.attempts or None in [fields for _, fields in entries]:  # some come again, or are gone
            return [self._arrival(part, id, fields) for id, fields in entries]
        return self.entries.arrivals(part, entries)

    def _arrival(self, part: Part, id: bytes, fields: list[bytes] | None) -> Arrival:
        attempt = part.attempts.pop(id, 1)
        if fields is None:
            told = f"entry {id.decode()} of {part.key} was removed before its group was done with it: it is lost"
            return self.entries.lost(part, id, BrokerError(told), attempt)
        return self.entries.arrival(part, id, fields, attempt)

    def _ask(self, at_most: int) -> None:
        commands = self.question(at_most)
        self.is_asking = True
        answers = self.link.ask(b"".join(commands), len(commands))
        answers.add_done_callback(self._hear)

    def _hear(self, answers: "asyncio.Future[list[Any]]") -> None:
        self.is_asking = False
        try:
            self.understand(answers.result())
        except Exception as error:  # told to whoever receives
            self.fail(error)
        self._answered.set()

    async def _wait(self, room: int) -> None:
        """Until something came; where there is no room, for as long as it takes."""
        if room <= 0:
            await self._answered.wait()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BLOCK + self.link.timeout):
                await self._answered.wait()
                return
        self.fail(self.link.silent())
