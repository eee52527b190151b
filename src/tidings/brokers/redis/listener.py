"""`Listener`: what comes from now on, for who belongs to no group. The server keeps nothing of it."""

from collections.abc import Sequence
from typing import Any, Final

from tidings.brokers.interface import Arrival
from tidings.brokers.redis.entries import Entries, Ticket
from tidings.brokers.redis.keys import Keys
from tidings.brokers.redis.link import Link, checked, packed
from tidings.brokers.redis.part import Part
from tidings.brokers.redis.receiving import BLOCK, Receiving
from tidings.brokers.redis.scripts import WORDS
from tidings.brokers.redis.wire import Wire
from tidings.errors import NotSupported

# prefix -> the newest id of the news, then of each stream: channel, number, its newest id.
_HEADS: Final = (
    WORDS
    + """
local function newest(key)
  local found = redis.pcall('XINFO', 'STREAM', key)
  if found.err then return '0-0' end
  for place = 1, #found, 2 do
    if found[place] == 'last-generated-id' then return found[place + 1] end
  end
end
local heads = {newest(prefix .. 'news')}
for channel, partitions in pairs(pairs_of('channels')) do
  for number = 0, partitions - 1 do
    table.insert(heads, {channel, number, newest(prefix .. 'stream:' .. channel .. ':' .. number)})
  end
end
return heads
"""
)


class Listener(Receiving):
    """Reads all streams from where they ended, and channels that are made later from their beginning."""

    def __init__(
        self,
        link: Link,
        wire: Wire,
        keys: Keys,
        heard: frozenset[str] | None,
        patterns: Sequence[str],
        prefetch: int,
        entries: Entries,
    ) -> None:
        super().__init__(link, patterns, prefetch, entries)
        self._wire = wire
        self._keys = keys
        self._heard = heard
        self._news = b"0-0"
        self._parts: dict[str, Part] = {}  # each with the id of the last entry that came as its cursor

    async def begin(self, start: str) -> None:
        """Note where all streams end, at one moment."""
        self._news, *heads = await self._wire.run(_HEADS)
        for channel, number, newest in heads:
            self._add(channel.decode(), number, newest.decode())

    async def end(self) -> None:
        """Nothing is left behind."""
        await self.link.close()

    async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None:
        """There is room for as many more."""
        if arrivals is None:
            self.open = 0
            for part in self._parts.values():
                part.open.clear()
        for arrival in arrivals or ():
            ticket: Ticket = arrival.ticket
            if ticket.id in ticket.part.open:
                ticket.part.open.remove(ticket.id)
                self.open -= 1
        self.freed()

    async def retry(self, arrival: Arrival, seconds: float) -> None:
        """It belongs to a group, and there is none."""
        raise NotSupported(self._wire.settings.shown, "hand an event over later to who belongs to no group")

    async def reject(self, arrival: Arrival, reason: str, detail: str = "") -> None:
        """It belongs to a group, and there is none."""
        raise NotSupported(self._wire.settings.shown, "keep dead letters of who belongs to no group")

    def question(self, at_most: int) -> list[bytes]:
        """What came since, and which channels."""
        parts = list(self._parts.values())
        how = ("COUNT", self.count(at_most, len(parts)), "BLOCK", int(BLOCK * 1000))
        places: list[str | bytes] = [self._news, *(part.cursor or "0-0" for part in parts)]
        return [packed("XREAD", *how, "STREAMS", self._keys.news, *(part.key for part in parts), *places)]

    def understand(self, answers: list[Any]) -> None:
        """Entries; or the names of channels that are new."""
        [streams] = checked(answers, self._wire.settings.shown)
        found = []
        for name, entries in streams or ():
            part = self._parts.get(name.decode())
            if part is not None:
                part.cursor = entries[-1][0].decode()
                found.append((part, entries))
            else:
                self._news = entries[-1][0]
                for _, (_, channel, _, partitions) in entries:
                    for number in range(int(partitions)):
                        self._add(channel.decode(), number, "0-0")
        self.add(found)

    def pass_over(self, part: Part, ids: list[bytes]) -> None:
        """Nobody remembers them."""

    def _add(self, channel: str, number: int, newest: str) -> None:
        if self._heard is None or channel in self._heard:
            key = self._keys.stream(channel, number)
            self._parts[key] = Part(key, channel, cursor=newest)
