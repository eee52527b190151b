"""A member of a group: its signs of life, and which streams are its to read."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from tidings.brokers.redis import scripts
from tidings.brokers.redis.keys import Keys
from tidings.brokers.redis.part import Part
from tidings.brokers.redis.wire import Wire
from tidings.brokers.rota import turns
from tidings.errors import Fenced
from tidings.events import new_id


def heard_text(heard: Iterable[str] | None) -> str:
    """The channels a group hears, as it is written down; None: all."""
    return msgspec.json.encode("*" if heard is None else sorted(heard)).decode()


class Membership:
    """The streams of one member. `changed` is called when other streams are to be read than before."""

    def __init__(
        self, wire: Wire, keys: Keys, group: str, heard: frozenset[str] | None, changed: Callable[[], None]
    ) -> None:
        self.member = new_id()
        self.parts: dict[str, Part] = {}
        self.read: frozenset[Part] = frozenset()  # what the question on its way is about
        self._until = 0.0  # for so long nobody can have taken it for dead; of the event loop's time
        self._wire = wire
        self._keys = keys
        self._group = group
        self._heard = heard
        self._changed = changed

    async def join(self, start: str) -> None:
        """Become a member, and begin where the group was or, when it is new, where it wants to."""
        session = max(1, int(self._wire.settings.session * 1000))
        begin = "$" if start == "latest" else "0"
        await self._wire.run(scripts.JOIN, self._group, heard_text(self._heard), begin, self.member, session)

    async def pulse(self) -> float | None:
        """A sign of life, and the next turn; returns the seconds until an event is due that was to be had later.

        Raises:
            Fenced: the member was taken for dead.
            BrokerError: no sign could be given.
        """
        asked, session = asyncio.get_running_loop().time(), max(1, int(self._wire.settings.session * 1000))
        answer = await self._wire.run(scripts.PULSE, self._group, self.member, session)
        if answer is None:
            raise Fenced(self._group, self.member)
        self._until = asked + session / 1000
        channels, owners, members, due = answer
        await self._turn(_texts(channels), _texts(owners), _texts(members))
        return None if due < 0 else due / 1000

    async def leave(self) -> None:
        """Go, and let the others have what it had."""
        await self._wire.run(scripts.LEAVE, self._group, self.member)

    @property
    def is_certain(self) -> bool:
        """Is it alive in everybody's eyes? A process that stood still finds out here, before it does any harm."""
        return asyncio.get_running_loop().time() < self._until

    @property
    def is_leaving(self) -> bool:
        """Is there something that it is about to let go of?"""
        for part in self.parts.values():  # noqa: SIM110  # before each event: any() takes three times as long
            if part.is_leaving:
                return True
        return False

    @property
    def ready(self) -> list[Part]:
        """What may be read."""
        return [part for part in self.parts.values() if not part.is_leaving]

    async def _turn(self, channels: Mapping[str, str], owners: Mapping[str, str], members: Mapping[str, str]) -> None:
        streams, again = self._streams(channels), self._keys.again(self._group)
        # Members of another version may hear other channels: each kind shares out among itself what is free.
        equals = [each for each, heard in members.items() if heard == members.get(self.member)]
        # What the group has again is nearly always empty: dealt out with the streams it would take the place of one.
        mine = {*self._turns(sorted(streams), owners, equals), *self._turns([again], owners, equals)}
        streams[again] = ""
        if any(owners.get(name) != self.member for name in self.parts):
            raise Fenced(self._group, self.member)
        leaving = [part for name, part in self.parts.items() if name not in mine and not part.is_leaving]
        for part in leaving:
            part.is_leaving = True
        taken = await self._take(sorted(mine - self.parts.keys()), streams)
        if leaving or taken:
            self._changed()
        await self._release([part for part in self.parts.values() if part.is_leaving])

    async def _take(self, names: list[str], streams: Mapping[str, str]) -> bool:
        if not names:
            return False
        for name in await self._wire.run(scripts.TAKE, self._group, self.member, *names):
            key = name.decode()
            self.parts[key] = Part(key, streams[key], cursor="0-0")
        return True

    async def _release(self, leaving: list[Part]) -> None:
        """Let go of those of which nothing is read nor unanswered; the others later."""
        done = [part for part in leaving if part.is_done and part not in self.read]
        if done:
            await self._wire.run(scripts.RELEASE, self._group, self.member, *[part.key for part in done])
            for part in done:
                del self.parts[part.key]

    def _turns(self, names: Sequence[str], owners: Mapping[str, str], equals: Sequence[str]) -> list[str]:
        """Which of these streams it should own next."""
        return [names[place] for place in turns(dict(enumerate(map(owners.get, names))), equals, self.member)]

    def _streams(self, channels: Mapping[str, str]) -> dict[str, str]:
        """The streams of events that the group hears, each with its channel."""
        return {
            self._keys.stream(channel, number): channel
            for channel, partitions in channels.items()
            if self._heard is None or channel in self._heard
            for number in range(int(partitions))
        }


def _texts(flat: list[bytes]) -> dict[str, str]:
    texts = [each.decode() for each in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
