"""What has to be done at once or not at all, as scripts that the server runs.

They name their keys themselves, from the prefix that is their first argument, so they belong on one server, not on a
cluster. Time is the server's, so that members whose clocks differ agree on who is alive and what is due.

A member is alive as long as its guard exists: a stream, with its group on it, that expires unless the member renews it.
It is read together with the streams of events, in one call; when it is gone, that call is refused by the server as a
whole. So nobody who was taken for dead gets one more event, not even by a read that was under way: its successor asks
for the guard before it takes a stream over, and that ends the read.
"""

from typing import Final

WORDS: Final = """
local prefix = ARGV[1]
local function is_alive(member)
  return redis.call('EXISTS', prefix .. 'guard:' .. member) == 1
end
local function ring(group, except)
  for _, member in ipairs(redis.call('HKEYS', prefix .. 'members:' .. group)) do
    if member ~= except and is_alive(member) then
      redis.call('XADD', prefix .. 'guard:' .. member, 'MAXLEN', '1', '*', 'ring', '1')
    end
  end
end
local function begin(key, group, start)
  redis.pcall('XGROUP', 'CREATE', key, group, start, 'MKSTREAM')
end
local function hears(heard, channel)
  if heard == '"*"' then return true end
  for _, each in ipairs(cjson.decode(heard)) do
    if each == channel then return true end
  end
  return false
end
local function pairs_of(hash)
  local flat, found = redis.call('HGETALL', prefix .. hash), {}
  for place = 1, #flat, 2 do found[flat[place]] = flat[place + 1] end
  return found
end
local function milliseconds()
  local now = redis.call('TIME')
  return tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
end
local function seen(group)
  redis.call('HSET', prefix .. 'seen', group, string.format('%.0f', milliseconds()))
end
"""

# prefix, channel, partitions wanted -> whether it is new, its partitions. Groups that hear it begin with its first
# event.
CHANNEL: Final = (
    WORDS
    + """
local channel = ARGV[2]
local is_new = redis.call('HSETNX', prefix .. 'channels', channel, ARGV[3])
local partitions = tonumber(redis.call('HGET', prefix .. 'channels', channel))
local groups = pairs_of('groups')
for number = 0, partitions - 1 do
  local key = prefix .. 'stream:' .. channel .. ':' .. number
  if redis.call('EXISTS', key) == 0 then
    begin(key, 'nobody', '0')
    redis.call('XGROUP', 'DESTROY', key, 'nobody')
  end
  for group, heard in pairs(groups) do
    if hears(heard, channel) then begin(key, group, '0') end
  end
end
if is_new == 1 then
  redis.call('XADD', prefix .. 'news', 'MAXLEN', '~', '1000', '*', 'channel', channel, 'partitions', partitions)
  for group in pairs(groups) do ring(group) end
end
return {is_new, partitions}
"""
)

# prefix, group, channels it hears, start -> whether it is new. Where it has been before it goes on.
_GROUP: Final = (
    WORDS
    + """
local group, heard, start = ARGV[2], ARGV[3], ARGV[4]
local is_new = redis.call('HSET', prefix .. 'groups', group, heard)
for channel, partitions in pairs(pairs_of('channels')) do
  if hears(heard, channel) then
    for number = 0, partitions - 1 do begin(prefix .. 'stream:' .. channel .. ':' .. number, group, start) end
  end
end
begin(prefix .. 'again:' .. group, group, '0')
seen(group)
"""
)
GROUP: Final = _GROUP + "return is_new\n"

# the same, member, milliseconds: the group has this member from now on, or as long as it gives signs of life.
JOIN: Final = (
    _GROUP
    + """
local member = ARGV[5]
begin(prefix .. 'guard:' .. member, group, '0')
redis.call('PEXPIRE', prefix .. 'guard:' .. member, ARGV[6])
redis.call('HSET', prefix .. 'members:' .. group, member, heard)
ring(group, member)
return is_new
"""
)

# prefix, group, member, milliseconds -> nothing, when the member was taken for dead; else channels, owners and members
# that are alive, each as a flat list, and the milliseconds until something more is due, or -1. What is due goes into
# the stream of what the group is to have again.
PULSE: Final = (
    WORDS
    + """
local group, member = ARGV[2], ARGV[3]
if redis.call('PEXPIRE', prefix .. 'guard:' .. member, ARGV[4]) == 0 then return false end
seen(group)
local members, alive = {}, {}
for each, heard in pairs(pairs_of('members:' .. group)) do
  if is_alive(each) then
    alive[each] = true
    table.insert(members, each)
    table.insert(members, heard)
  else
    redis.call('HDEL', prefix .. 'members:' .. group, each)
  end
end
local owners = {}
for key, owner in pairs(pairs_of('owners:' .. group)) do
  if alive[owner] then
    table.insert(owners, key)
    table.insert(owners, owner)
  end
end
local later, kept, now = prefix .. 'later:' .. group, prefix .. 'kept:' .. group, milliseconds()
for _, token in ipairs(redis.call('ZRANGEBYSCORE', later, '-inf', now, 'LIMIT', 0, 100)) do
  local fields = redis.call('HGET', kept, token)
  if fields then redis.call('XADD', prefix .. 'again:' .. group, '*', unpack(cmsgpack.unpack(fields))) end
  redis.call('ZREM', later, token)
  redis.call('HDEL', kept, token)
end
local next = redis.call('ZRANGE', later, 0, 0, 'WITHSCORES')
local wait = -1
if next[2] then wait = math.max(0, tonumber(next[2]) - now) end
return {redis.call('HGETALL', prefix .. 'channels'), owners, members, wait}
"""
)

# prefix, group, member, streams -> those of them that are the member's now: nobody alive had them.
TAKE: Final = (
    WORDS
    + """
local group, member = ARGV[2], ARGV[3]
local taken = {}
if not is_alive(member) then return taken end
for place = 4, #ARGV do
  local owner = redis.call('HGET', prefix .. 'owners:' .. group, ARGV[place])
  if not owner or owner == member or not is_alive(owner) then
    redis.call('HSET', prefix .. 'owners:' .. group, ARGV[place], member)
    table.insert(taken, ARGV[place])
  end
end
return taken
"""
)

# prefix, group, member, streams: they are nobody's from now on, and the others hear of it.
RELEASE: Final = (
    WORDS
    + """
local group, member = ARGV[2], ARGV[3]
for place = 4, #ARGV do
  if redis.call('HGET', prefix .. 'owners:' .. group, ARGV[place]) == member then
    redis.call('HDEL', prefix .. 'owners:' .. group, ARGV[place])
  end
end
ring(group, member)
return 1
"""
)

# prefix, group, member: it goes, and leaves nothing of itself.
LEAVE: Final = (
    WORDS
    + """
local group, member = ARGV[2], ARGV[3]
redis.call('DEL', prefix .. 'guard:' .. member)
redis.call('HDEL', prefix .. 'members:' .. group, member)
for key, owner in pairs(pairs_of('owners:' .. group)) do
  if owner == member then redis.call('HDEL', prefix .. 'owners:' .. group, key) end
end
ring(group, member)
return 1
"""
)
