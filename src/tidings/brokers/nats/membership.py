"""A member of a group: it shows that it lives, and takes its turn at the partitions of the channels it hears.

The note that a member owns a partition counts as long as the member lives, which it shows by writing a note of its own
several times a session. A partition is taken by writing its note on condition that nobody else did meanwhile.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from tidings.brokers.nats.consumers import AGAIN, Place
from tidings.brokers.nats.names import Names
from tidings.brokers.nats.part import Part
from tidings.brokers.nats.records import Record, Records
from tidings.brokers.nats.wire import Wire
from tidings.brokers.rota import turns
from tidings.events import new_id

_FORGOTTEN: Final = 30  # sessions after which nothing is kept of a member that died
_LATE: Final = 0.3  # seconds: what has waited too long is found by a timer of the server's, which may be busy then
_SURE: Final = 0.9  # of a session: until then nobody else can have taken over


class Membership:
    """One member's. `mine` is what it owns; what of that may be received from yet is for who asks to find out."""

    def __init__(self, wire: Wire, names: Names, group: str, records: Records) -> None:
        self.member = new_id()
        self.mine: dict[Place, Record | None] = {}  # with the note that was there before it was taken
        self._wire = wire
        self._names = names
        self._group = group
        self._records = records
        self._session = wire.settings.session
        self._unsaid: dict[Place, float] = {}  # when it was seen first that the server does not know what it delivered
        self._sure_until = 0.0
        self._ahead = 0.0  # seconds that the server's clock is ahead of the loop's

    @property
    def is_certain(self) -> bool:
        """Can nobody have taken over what it owns?"""
        return asyncio.get_running_loop().time() < self._sure_until

    @property
    def now(self) -> float:
        """The server's time, about."""
        return asyncio.get_running_loop().time() + self._ahead

    async def beat(self, channels: Sequence[str] | None) -> None:
        """Show that it lives, and read all that was noted before."""
        began = asyncio.get_running_loop().time()
        said = {"hears": None if channels is None else sorted(channels)}
        number = await self._records.write(("member", self.member), said)
        await self._records.read_up_to(number)
        self._sure_until = began + self._session * _SURE
        self._ahead = self._records.notes["member", self.member].time - asyncio.get_running_loop().time()

    def owns(self, place: Place) -> bool:
        """Is it still its own, as far as it has read?"""
        return self._owner(place) == self.member

    def lost(self) -> bool:
        """Does somebody else own what was its own?"""
        return not all(map(self.owns, self.mine))

    def wanted(self, partitions: dict[str, int]) -> set[Place]:
        """What it should own next: its turn at each of the channels that the same members hear.

        What the group has again is nearly always empty: it is dealt out apart, and takes no partition's place.
        """
        alive = self._alive()
        shared: dict[tuple[bool, tuple[str, ...]], list[Place]] = {}
        for channel, count in sorted(partitions.items()):
            hearing = tuple(sorted(member for member, hears in alive.items() if _hears(hears, channel)))
            shared.setdefault((channel == AGAIN, hearing), []).extend((channel, number) for number in range(count))
        wanted: set[Place] = set()
        for (_, hearing), places in shared.items():
            owners = {number: self._living_owner(place, alive) for number, place in enumerate(places)}
            wanted.update(places[number] for number in turns(owners, hearing, self.member))
        return wanted

    async def take(self, places: Sequence[Place]) -> None:
        """Note that they are its own, those that nobody took meanwhile.

        They count as its own when that is read back: whoever looks before would miss the notes, and think them lost.
        """
        before = [self._records.notes.get(_key(place)) for place in places]
        notes = [
            (_key(place), {"owner": self.member}, 0 if note is None else note.sequence)
            for place, note in zip(places, before, strict=True)
        ]
        numbers = await self._records.write_all(notes)
        await self._records.read_up_to(max([number for number in numbers if number is not None], default=0))
        for place, note, number in zip(places, before, numbers, strict=True):
            if number is not None:
                self.mine[place] = note

    async def release(self, places: dict[Place, tuple[bool, int]]) -> None:
        """Others may take them; each with whether all of it is given back, and the number of its last delivery."""
        notes = [
            (_key(place), {"owner": None, "clean": clean, "last": last}, self._records.notes[_key(place)].sequence)
            for place, (clean, last) in places.items()
            if self.owns(place)
        ]
        if notes:
            await self._records.write_all(notes)
        for place in places:
            self.mine.pop(place, None)

    async def leave(self) -> None:
        """Withdraw."""
        await self._records.write(("member", self.member), {})

    async def tidy(self) -> None:
        """Have the server forget who left, or died long ago."""
        own = self._records.notes["member", self.member].time
        for key, note in list(self._records.notes.items()):
            patience = self._session * (1 if not note.said else _FORGOTTEN)
            if key[0] == "member" and note.time < own - patience:
                await self._records.remove(key)

    async def is_free(self, place: Place, part: Part) -> bool:
        """Has its last owner nothing more to expect, and is what it left without an answer the server's again?"""
        note = self.mine[place]
        if note is None or note.said.get("clean"):
            part.last = 0 if note is None else note.said["last"]
            return True
        info = await self._wire.api(f"CONSUMER.INFO.{part.stream}.{part.consumer}")
        if info["num_waiting"]:
            return False  # it may be alive and have asked for more
        part.last = delivered(info)
        return not info["num_ack_pending"] or self.now > self._since(place, info) + self._patience(info)

    def _since(self, place: Place, info: dict[str, Any]) -> float:
        """When it last delivered anything. A server that was started again has forgotten: its patience begins anew."""
        last = info["delivered"].get("last_active")
        return self._unsaid.setdefault(place, self.now) if last is None else datetime.fromisoformat(last).timestamp()

    def _patience(self, info: dict[str, Any]) -> float:
        return float(info["config"].get("ack_wait", 0)) / 1e9 * 1.1 + _LATE

    def _owner(self, place: Place) -> str | None:
        note = self._records.notes.get(_key(place))
        return None if note is None else note.said.get("owner")

    def _living_owner(self, place: Place, alive: dict[str, frozenset[str] | None]) -> str | None:
        owner = self._owner(place)
        return owner if owner in alive else None

    def _alive(self) -> dict[str, frozenset[str] | None]:
        notes = self._records.notes
        own = notes["member", self.member].time
        return {
            key[1]: None if note.said["hears"] is None else frozenset(note.said["hears"])
            for key, note in notes.items()
            if key[0] == "member" and note.said and note.time >= own - self._session
        }


def delivered(info: dict[str, Any]) -> int:
    """How many deliveries a consumer has made."""
    count: int = info["delivered"]["consumer_seq"]
    return count


def _hears(channels: frozenset[str] | None, channel: str) -> bool:
    return channels is None or channel in channels or channel == AGAIN


def _key(place: Place) -> tuple[str, ...]:
    return "part", place[0], str(place[1])
