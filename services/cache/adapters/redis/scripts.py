"""What runs within Redis: each script is one step that nobody else sees half of.

They need Redis 7, whose scripts say in their first line what they may do. All keys of one store share a hash tag.
"""

from __future__ import annotations

SCAN = """#!lua flags=no-writes
local order, values = KEYS[1], KEYS[2]
local first, last, limit, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local found, size = {}, 0
for _, key in ipairs(redis.call('ZRANGE', order, first, last, 'BYLEX', 'LIMIT', 0, limit)) do
  local value = redis.call('HGET', values, key)
  found[#found + 1] = key
  found[#found + 1] = value
  size = size + #key + (value and #value or 0)
  if size >= most then break end
end
return found
"""
"""Returns keys and values in turn, until they have ``most`` bytes; nil for a value that is missing.

KEYS: order, values. ARGV: first and last as of ZRANGE, limit, most.
"""

_COMMIT = """#!lua {flags}
local values, order, turns = KEYS[1], KEYS[2], KEYS[3]
local slot, turn = ARGV[1], 2 * tonumber(ARGV[2])
local check, expected = ARGV[3], ARGV[4] == '1' and ARGV[5]
local channel, sender, puts = ARGV[6], ARGV[7], 8 + 2 * tonumber(ARGV[8])

local last = tonumber(redis.call('HGET', turns, slot) or '0')
if last >= turn then return last % 2 end
{guard}
local made = 0
if redis.call('HGET', values, check) == expected then
  for i = 9, puts, 2 do
    if redis.call('HSET', values, ARGV[i], ARGV[i + 1]) == 1 then redis.call('ZADD', order, 0, ARGV[i]) end
  end
  for i = puts + 1, #ARGV do
    if redis.call('HDEL', values, ARGV[i]) == 1 then redis.call('ZREM', order, ARGV[i]) end
  end
  redis.call('PUBLISH', channel, sender)
  made = 1
end
redis.call('HSET', turns, slot, turn + made)
redis.call('EXPIRE', turns, 3600)
return made
"""

_GUARD = """
local grows = 0
for i = 9, puts, 2 do
  grows = grows + #ARGV[i + 1] - redis.call('HSTRLEN', values, ARGV[i])
  if redis.call('HEXISTS', values, ARGV[i]) == 0 then grows = grows + 2 * #ARGV[i] + 200 end
end
for i = puts + 1, #ARGV do
  if redis.call('HEXISTS', values, ARGV[i]) == 1 then
    grows = grows - redis.call('HSTRLEN', values, ARGV[i]) - 2 * #ARGV[i] - 200
  end
end
if grows > 0 then return redis.error_reply('OOM the commit needs more than it frees') end
"""

COMMIT = _COMMIT.format(flags="", guard="").replace("#!lua \n", "#!lua\n")
"""Makes writes if a value is as expected; returns 1 if they were made, else 0. Redis refuses it when memory is full.

What became of the last turn of each slot is kept for an hour, so that a turn which comes twice has one effect and one
answer, and one that comes after its successor has none.

KEYS: values, order, turns. ARGV: slot, turn, key to check, 1 if it must be there, its value, channel, who commits,
number of puts, key and value of each put, key of each removal.
"""

COMMIT_WHEN_FULL = _COMMIT.format(flags="flags=allow-oom", guard=_GUARD)
"""The same where memory is full: for commits that free at least what they take, so that deleting is always possible.

A record counts with 200 bytes more than its key, twice, and its value, which is about what Redis adds to it.
"""

INFO = """#!lua flags=no-writes
redis.call('EXISTS', KEYS[1])
return redis.call('INFO', 'server') .. redis.call('INFO', 'memory') .. redis.call('INFO', 'persistence')
"""
"""Returns what INFO tells of the node that has a key."""
