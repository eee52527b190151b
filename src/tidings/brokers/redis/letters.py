"""What a group sets aside: to have it again later, or as a dead letter; and its letters, a stream, oldest first."""

from typing import Final

from tidings.brokers.interface import DeadLetter
from tidings.brokers.redis.entries import ATTEMPT, DETAIL, REASON, Entries
from tidings.brokers.redis.keys import Keys
from tidings.brokers.redis.link import packed
from tidings.brokers.redis.part import Part
from tidings.brokers.redis.scripts import WORDS
from tidings.brokers.redis.wire import Wire

_PAGE: Final = 500  # letters to be read at a time

# prefix, group, member, stream, id, milliseconds or "dead", fields -> 0 when the member owns the stream no more.
SET_ASIDE: Final = (
    WORDS
    + """
local group, member, key, id, delay = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if redis.call('HGET', prefix .. 'owners:' .. group, key) ~= member or not is_alive(member) then return 0 end
local fields = {}
for place = 7, #ARGV do fields[place - 6] = ARGV[place] end
if delay == 'dead' then
  redis.call('XADD', prefix .. 'dead:' .. group, '*', unpack(fields))
else
  local token = key .. ' ' .. id
  redis.call('HSET', prefix .. 'kept:' .. group, token, cmsgpack.pack(fields))
  redis.call('ZADD', prefix .. 'later:' .. group, milliseconds() + tonumber(delay), token)
end
redis.call('XACK', key, group, id)
if key == prefix .. 'again:' .. group then redis.call('XDEL', key, id) end
return 1
"""
)

# prefix, group, id, "again" or "drop": of a dead letter; 0 when it is not there any more.
RESOLVE: Final = (
    WORDS
    + """
local group, id = ARGV[2], ARGV[3]
local found = redis.call('XRANGE', prefix .. 'dead:' .. group, id, id)
if not found[1] then return 0 end
if ARGV[4] == 'again' then
  begin(prefix .. 'again:' .. group, group, '0')
  redis.call('XADD', prefix .. 'again:' .. group, '*', unpack(found[1][2]))
end
redis.call('XDEL', prefix .. 'dead:' .. group, id)
return 1
"""
)


async def read_letters(wire: Wire, keys: Keys, entries: Entries, group: str | None) -> list[DeadLetter]:
    """Those of a group, or of all; each with its id in the stream as its ticket.

    Raises:
        BrokerError: the server did not say.
    """
    if group is not None:
        return await _of_group(wire, keys, entries, group)
    [names] = await wire.ask([packed("HKEYS", keys.groups)])
    return [letter for name in sorted(names) for letter in await _of_group(wire, keys, entries, name.decode())]


async def _of_group(wire: Wire, keys: Keys, entries: Entries, group: str) -> list[DeadLetter]:
    letters: list[DeadLetter] = []
    part, after = Part(keys.dead(group), ""), "-"
    while True:
        [found] = await wire.ask([packed("XRANGE", part.key, after, "+", "COUNT", _PAGE)])
        for id, fields in found:
            said = dict(zip(fields[::2], fields[1::2], strict=True))
            event = entries.event(part, id, fields)
            reason, detail = said.get(REASON, b"").decode(), said.get(DETAIL, b"").decode()
            letters.append(DeadLetter(group, event, reason, detail, int(said.get(ATTEMPT, 1)), id))
        if len(found) < _PAGE:
            return letters
        after = f"({found[-1][0].decode()}"
