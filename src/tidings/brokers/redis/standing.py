"""How groups stand: what the server counts of each on the streams it hears."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from tidings.brokers.interface import Standing
from tidings.brokers.redis.keys import Keys
from tidings.brokers.redis.link import packed
from tidings.brokers.redis.scripts import WORDS
from tidings.brokers.redis.wire import Wire

# prefix -> of each group: its name, what it hears, its members that live, dead letters, what is had again or later.
_STANDING: Final = (
    WORDS
    + """
local found = {}
for group, heard in pairs(pairs_of('groups')) do
  local members = 0
  for _, member in ipairs(redis.call('HKEYS', prefix .. 'members:' .. group)) do
    if is_alive(member) then members = members + 1 end
  end
  local dead = redis.call('XLEN', prefix .. 'dead:' .. group)
  local again = redis.call('XLEN', prefix .. 'again:' .. group) + redis.call('ZCARD', prefix .. 'later:' .. group)
  table.insert(found, {group, heard, members, dead, again})
end
return found
"""
)


async def standings(wire: Wire, keys: Keys) -> list[Standing]:
    """Every group, by name. Its lag is what it was not handed yet, did not settle, or is to have again.

    Raises:
        BrokerError: the server did not say.
    """
    [channels] = await wire.ask([packed("HGETALL", keys.channels)])
    groups = await wire.run(_STANDING)
    lags, untold = Counter[bytes](), set[bytes]()
    for group, pending, lag in await _counted(wire, keys, channels):
        lags[group] += pending + (lag or 0)
        if lag is None:  # entries were deleted in its midst, so that Redis cannot count
            untold.add(group)
    return [
        Standing(name.decode(), None if name in untold else lags[name] + again, members, dead)
        for name, _, members, dead, again in sorted(groups)
    ]


async def _counted(wire: Wire, keys: Keys, channels: list[bytes]) -> list[tuple[bytes, int, int | None]]:
    """Of each stream and group: how many it was handed and did not settle, and how many it was not handed."""
    streams = [
        keys.stream(channel.decode(), number)
        for channel, partitions in zip(channels[::2], channels[1::2], strict=True)
        for number in range(int(partitions))
    ]
    if not streams:
        return []
    # A stream that was removed is an error among the answers, and no trouble.
    link = await wire.link()
    commands = b"".join(packed("XINFO", "GROUPS", stream) for stream in streams)
    answers = await link.wait(link.ask(commands, len(streams)))
    return [counted for answer in answers if isinstance(answer, list) for counted in _groups_of(answer)]


def _groups_of(answer: list[Any]) -> Iterator[tuple[bytes, int, int | None]]:
    for flat in answer:
        said = dict(zip(flat[::2], flat[1::2], strict=True))
        yield said[b"name"], said[b"pending"], said.get(b"lag")
