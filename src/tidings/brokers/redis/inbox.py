"""`StreamInbox`: what a member of a group receives. It reads all its streams, and its guard, in one blocking call."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from tidings.brokers.interface import Arrival
from tidings.brokers.redis.entries import Entries, Ticket, kept_fields
from tidings.brokers.redis.keys import Keys
from tidings.brokers.redis.letters import SET_ASIDE
from tidings.brokers.redis.link import Link, checked, packed
from tidings.brokers.redis.membership import Membership
from tidings.brokers.redis.part import Part
from tidings.brokers.redis.receiving import BLOCK, Receiving
from tidings.brokers.redis.wire import Wire
from tidings.errors import Fenced, TidingsError

# Whoever owns a stream is the only one who reads it, so who of them an entry was handed to need not be told apart.
CONSUMER = "tidings"


class StreamInbox(Receiving):
    """A member's part of a group. An arrival's ticket is where its entry stands."""

    def __init__(
        self,
        link: Link,
        wire: Wire,
        signs: Wire,
        keys: Keys,
        group: str,
        heard: frozenset[str] | None,
        patterns: Sequence[str],
        prefetch: int,
        entries: Entries,
    ) -> None:
        super().__init__(link, patterns, prefetch, entries)
        self.membership = Membership(signs, keys, group, heard, self._interrupt)
        self._wire = wire
        self._signs = signs
        self._group = group
        self._again = keys.again(group)
        self._guard = keys.guard(self.membership.member)
        self._last: tuple[int, list[str]] = 0, []  # how many were asked of which streams the last time,
        self._question = b""  # and the command
        self._looks: list[Part] = []  # parts that the question on its way looks for unsettled entries of
        self._rung = asyncio.Event()  # somebody rang, or a part can be let go of
        self._life: asyncio.Task[None] | None = None
        self._is_over = False

    async def begin(self, start: str) -> None:
        """Join, and take the first turn."""
        await self.membership.join(start)
        due = await self.membership.pulse()
        self._life = asyncio.create_task(self._live(due), name=f"{self._group}: signs of life")

    async def end(self) -> None:
        """Leave, if the server can be reached."""
        if self._is_over:
            return
        self._is_over = True
        if self._life is not None:
            self._life.cancel()
            await asyncio.wait([self._life])
        self.fail(Fenced(self._group, self.membership.member))  # nothing is read any more, whatever is under way
        with contextlib.suppress(TidingsError):  # else its guard expires
            await self.membership.leave()

    async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None:
        """Acknowledge each; those of one stream at once."""
        if self._is_over or not self.membership.is_certain:
            raise Fenced(self._group, self.membership.member)
        done: dict[Part, list[bytes]] = {}
        if arrivals is None:
            for part in self.membership.parts.values():
                done[part], part.open = list(part.open), set()
        else:
            for arrival in arrivals:
                ticket: Ticket = arrival.ticket
                if ticket.id in ticket.part.open:
                    ticket.part.open.remove(ticket.id)
                    done.setdefault(ticket.part, []).append(ticket.id)
        commands = [command for part, ids in done.items() if ids for command in self._acknowledging(part, ids)]
        for part in done:
            part.settling += 1
        try:
            if commands:
                await self._wire.ask(commands)
        finally:
            for part in done:
                part.settling -= 1
            self._free(sum(map(len, done.values())), done)

    async def retry(self, arrival: Arrival, seconds: float) -> None:
        """Into the sorted set of what is due later, by the server's clock."""
        await self._set_aside(arrival, int(seconds * 1000), kept_fields(arrival.ticket, arrival.attempt))
        self._rung.set()

    async def reject(self, arrival: Arrival, reason: str, detail: str = "") -> None:
        """Into the stream of the group's dead letters."""
        fields = kept_fields(arrival.ticket, arrival.attempt, reason or "rejected", detail)
        await self._set_aside(arrival, "dead", fields)

    def may_hand_over(self) -> bool:
        """Not when others may have been given it meanwhile; the next sign of life tells."""
        if not self.membership.is_certain:
            self._rung.set()
        return self.membership.is_certain

    def question(self, at_most: int) -> list[bytes]:
        """What others left unsettled of streams that are new here; when nothing is left, what is new in all."""
        ready = self.membership.ready
        self._looks = [part for part in ready if part.cursor is not None]
        if self._looks:
            self.membership.read = frozenset(self._looks)
            count = self.count(at_most, len(self._looks))
            return [command for part in self._looks for command in self._claiming(part, count)]
        self.membership.read = frozenset(ready)
        names = [self._guard, *[part.key for part in ready]]
        wanted = (self.count(at_most, len(ready)), names)
        if wanted != self._last:  # the same is asked again and again
            how = ("COUNT", wanted[0], "BLOCK", int(BLOCK * 1000))
            past = [">"] * len(names)
            self._question = packed("XREADGROUP", "GROUP", self._group, CONSUMER, *how, "STREAMS", *names, *past)
            self._last = wanted
        return [self._question]

    def understand(self, answers: list[Any]) -> None:
        """Entries; or that the guard is gone, and the member with it."""
        self.membership.read = frozenset()
        if self.membership.is_leaving:
            self._rung.set()
        for answer in answers:
            if isinstance(answer, Exception) and str(answer).startswith(("NOGROUP", "UNBLOCKED")):
                raise Fenced(self._group, self.membership.member)
        checked(answers, self._wire.settings.shown)
        if self._looks:
            self._inherit(answers)
        elif answers[0]:
            self._receive(answers[0])

    def pass_over(self, part: Part, ids: list[bytes]) -> None:
        """They are acknowledged without waiting: should that fail, they are passed over once more."""
        self._signs.post(self._acknowledging(part, ids))

    def _receive(self, streams: list[Any]) -> None:
        found = []
        for name, entries in streams:
            part = self.membership.parts.get(name.decode())
            if part is not None:
                found.append((part, entries))
            else:  # the guard: somebody rang
                self._rung.set()
                self._signs.post([packed("XACK", name, self._group, *[id for id, _ in entries])])
        self.add(found)

    def _claiming(self, part: Part, count: int) -> list[bytes]:
        """How often each was handed over, and then that they are this member's; both from the oldest on."""
        assert part.cursor is not None
        return [
            packed("XPENDING", part.key, self._group, part.cursor, "+", count),
            packed("XAUTOCLAIM", part.key, self._group, CONSUMER, 0, part.cursor, "COUNT", count),
        ]

    def _inherit(self, answers: list[Any]) -> None:
        found = []
        for part, pending, (cursor, entries, *removed) in zip(self._looks, answers[::2], answers[1::2], strict=True):
            part.cursor = None if cursor == b"0-0" else cursor.decode()
            entries += [[id, None] for id in (removed[0] if removed else [])]
            entries = [entry for entry in entries if entry[0] not in part.open]
            part.attempts.update((id, times + 1) for id, _, _, times in pending)
            if entries:
                found.append((part, sorted(entries, key=_by_id)))
        self.add(found)

    def _acknowledging(self, part: Part, ids: list[bytes]) -> list[bytes]:
        acknowledged = packed("XACK", part.key, self._group, *ids)
        return [acknowledged, packed("XDEL", part.key, *ids)] if part.key == self._again else [acknowledged]

    async def _set_aside(self, arrival: Arrival, when: str | int, fields: list[str | bytes | int]) -> None:
        ticket: Ticket = arrival.ticket
        named = (self._group, self.membership.member, ticket.part.key, ticket.id)
        if not await self._wire.run(SET_ASIDE, *named, when, *fields):
            raise Fenced(self._group, self.membership.member)
        if ticket.id in ticket.part.open:
            ticket.part.open.remove(ticket.id)
            self._free(1, [ticket.part])

    def _free(self, count: int, parts: Sequence[Part] | dict[Part, list[bytes]]) -> None:
        self.open -= count
        self.freed()
        if any(part.is_leaving for part in parts):
            self._rung.set()

    def _interrupt(self) -> None:
        """Ring at the own door: the question on its way is about other streams than it should be."""
        if self.is_asking:
            self._signs.post([packed("XADD", self._guard, "NOMKSTREAM", "MAXLEN", 1, "*", "ring", 1)])

    async def _live(self, due: float | None) -> None:
        """Signs of life, several in the time after which the member would be taken for dead."""
        interval = self._wire.settings.session / 4
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(interval if due is None else min(due, interval)):
                        await self._rung.wait()
                self._rung.clear()
                due = await self.membership.pulse()
                self.freed()
        except TidingsError as error:
            self.fail(error)


def _by_id(entry: list[Any]) -> tuple[int, int]:
    time, _, number = entry[0].partition(b"-")
    return int(time), int(number)
