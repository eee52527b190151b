"""Groups that come to an end: told to, or as nobody has run them for long."""

from typing import Final

from tidings.brokers.redis.scripts import WORDS

# prefix, group -> 1 when members run it, and nothing is done; else it is removed from wherever it stands.
FORGET: Final = (
    WORDS
    + """
local group = ARGV[2]
for _, member in ipairs(redis.call('HKEYS', prefix .. 'members:' .. group)) do
  if is_alive(member) then return 1 end
end
for channel, partitions in pairs(pairs_of('channels')) do
  for number = 0, partitions - 1 do
    redis.pcall('XGROUP', 'DESTROY', prefix .. 'stream:' .. channel .. ':' .. number, group)
  end
end
for _, each in ipairs({'again:', 'later:', 'kept:', 'dead:', 'members:', 'owners:'}) do
  redis.call('DEL', prefix .. each .. group)
end
redis.call('HDEL', prefix .. 'groups', group)
redis.call('HDEL', prefix .. 'seen', group)
return 0
"""
)
