"""Streams that do not grow for ever, where that is wanted: what is too old or too much goes, when groups are done."""

import asyncio
from collections.abc import Iterable
from typing import Final

from tidings.brokers.redis.link import packed
from tidings.brokers.redis.scripts import WORDS
from tidings.brokers.redis.wire import Wire

_EVERY: Final = 1.0  # seconds between two looks at a stream

# prefix, stream, milliseconds or "", entries or "", milliseconds: removes what is older, or too much, up to the first
# entry that a group has yet to receive or to settle. Redis itself would remove those, too, and go on counting them as
# pending. For a group that nobody has run for the last of these times nothing is kept.
_TRIM: Final = (
    WORDS
    + """
local key, age, length = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local last, orphaned = pairs_of('seen'), milliseconds() - tonumber(ARGV[5])
local function parts(id)
  local time, number = string.match(id, '(%d+)%-(%d+)')
  return tonumber(time), tonumber(number)
end
local time, number = 9e15, 0
local function keep(id, next)
  local at, behind = parts(id)
  behind = behind + next
  if at < time or (at == time and behind < number) then time, number = at, behind end
end
local groups = redis.pcall('XINFO', 'GROUPS', key)
if groups.err then return 0 end
for _, flat in ipairs(groups) do
  local group = {}
  for place = 1, #flat, 2 do group[flat[place]] = flat[place + 1] end
  if (tonumber(last[group['name']]) or orphaned) < orphaned then  -- an orphan
  elseif group['pending'] > 0 then keep(redis.call('XPENDING', key, group['name'])[2], 0)
  else keep(group['last-delivered-id'], 1) end
end
local function floor() return string.format('%.0f-%.0f', time, number) end
if age then
  keep(string.format('%.0f-0', math.max(0, milliseconds() - age)), 0)
  return redis.call('XTRIM', key, 'MINID', '~', floor())
end
local excess = redis.call('XLEN', key) - length
if excess <= 0 then return 0 end
return redis.call('XTRIM', key, 'MINID', '~', floor(), 'LIMIT', excess)
"""
)


class Trimming:
    """Done behind what is published, as a stream that nobody adds to does not grow."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._looked: dict[str, float] = {}  # stream -> when

    def look(self, streams: Iterable[str]) -> None:
        """Have the server let go of what these need not keep; nobody waits for it."""
        settings = self._wire.settings
        if settings.age is None and settings.length is None:
            return
        now = asyncio.get_running_loop().time()
        limits = ["" if each is None else each for each in (settings.age, settings.length, settings.orphan_after)]
        for key in streams:
            if now - self._looked.get(key, -_EVERY) >= _EVERY:
                self._looked[key] = now
                self._wire.post([packed("EVAL", _TRIM, 0, settings.prefix, key, *limits)])
