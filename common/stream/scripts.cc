#include "common/stream/scripts.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "fmt/format.h"

#include "common/digest/sha256.h"
#include "common/status/status.h"
#include "common/stream/topic.h"

namespace yagura::stream {
namespace {

// What drains the streams must work while Redis is at its memory limit, or it would stay there.
constexpr std::string_view kAllowOom = "#!lua flags=allow-oom\n";

constexpr std::string_view kNow = R"lua(
local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end
local function ms(n) return string.format('%.0f', n) end
)lua";

// The lease is a holder and an epoch: both must be the caller's. Who still has them may go on
// even when the lease has run out, as nobody else has read meanwhile.
constexpr std::string_view kFence = R"lua(
local function fence(key, holder, epoch, lease)
  local held = redis.call('HMGET', key, 'holder', 'epoch', 'until')
  if held[1] ~= holder or held[2] ~= epoch then
    return redis.error_reply('YAGURA_LEASE_LOST the epoch is ' .. (held[2] or 'none') ..
                             ', not ' .. epoch)
  end
  local t = now()
  if tonumber(held[3]) - t < lease * 0.75 then
    redis.call('HSET', key, 'until', ms(t + lease))
  end
  return nil
end
)lua";

constexpr std::string_view kGroups = R"lua(
local function fields(flat)
  local map = {}
  for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
  return map
end
local function groups(stream)
  local reply = redis.pcall('XINFO', 'GROUPS', stream)
  local found = {}
  if reply.err then return found end
  for _, flat in ipairs(reply) do
    local group = fields(flat)
    found[group['name']] = group
  end
  return found
end
)lua";

// A new group starts before the first entry that is still there; told how many ever came before
// that one, Redis can say how far the group lags behind.
constexpr std::string_view kDeclare = R"lua(
local function declare(stream, reader)
  local info = redis.pcall('XINFO', 'STREAM', stream)
  local gone = 0
  if not info.err then
    info = fields(info)
    gone = info['entries-added'] - info['length']
  end
  redis.call('XGROUP', 'CREATE', stream, reader, '0', 'MKSTREAM', 'ENTRIESREAD', gone)
end
)lua";

constexpr std::string_view kAdvance = R"lua(
local function check(group, reader)
  if not group then
    return redis.error_reply('YAGURA_NO_READER ' .. reader .. ' is not declared any more')
  end
  return nil
end
local function advance(stream, group, reader, id, count)
  local read = tonumber(group['entries-read'])
  if read then
    redis.call('XGROUP', 'SETID', stream, reader, id, 'ENTRIESREAD', ms(read + count))
  else
    redis.call('XGROUP', 'SETID', stream, reader, id)
  end
end
)lua";

// An empty stream has no bytes, whatever was counted: what an earlier release put aside was not.
constexpr std::string_view kDeadSize = R"lua(
local function size(fields)
  local sum = 0
  for i = 2, #fields, 2 do sum = sum + #fields[i] end
  return sum
end
local function drop(stream, sizes, letter)
  local bytes = size(letter[2])
  redis.call('XDEL', stream, letter[1])
  local left = redis.call('HINCRBY', sizes, 'bytes', -bytes)
  if left < 0 or redis.call('XLEN', stream) == 0 then redis.call('HSET', sizes, 'bytes', 0) end
  return bytes
end
local function bound(stream, sizes, most, most_bytes)
  local kept = redis.call('XLEN', stream)
  local bytes = tonumber(redis.call('HGET', sizes, 'bytes') or '0')
  while kept > 1 and (kept > most or bytes > most_bytes) do
    bytes = bytes - drop(stream, sizes, redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1])
    kept = kept - 1
    redis.call('HINCRBY', sizes, 'dropped', 1)
  end
end
)lua";

// Keys are remembered by period, four to a window. A period's place is a set of whole numbers,
// small enough that Redis packs it (eight bytes each). The period to come is asked too, for a clock
// that was set back.
constexpr std::string_view kDedup = R"lua(
local now = math.floor(tonumber(redis.call('TIME')[1]) / period)
local function place(prefix, bucket, at)
  return prefix .. bucket .. ':' .. string.format('%.0f', at)
end
local function known(prefix, bucket, member)
  for at = now + 1, now - 4, -1 do
    if redis.call('SISMEMBER', place(prefix, bucket, at), member) == 1 then return true end
  end
  return false
end
local function remember(prefix, bucket, member)
  local set = place(prefix, bucket, now)
  redis.call('SADD', set, member)
  redis.call('EXPIREAT', set, string.format('%.0f', (now + 5) * period), 'NX')
end
local function append(stream, prefix, bucket, member, key, payload)
  if known(prefix, bucket, member) then return '0-0' end
  local id = redis.call('XADD', stream, '*', 'k', key, 'p', payload)
  remember(prefix, bucket, member)
  return id
end
)lua";

template <typename... Parts>
redis::Script Assemble(const Parts&... parts) {
  std::string source;
  (source.append(parts), ...);
  return redis::Script(source);
}

}  // namespace

std::string LeaseKey(std::string_view topic, int shard, std::string_view reader) {
  return fmt::format("y:{{s{}}}:lease:{}:{}", shard, topic, reader);
}

std::string DedupPrefix(std::string_view topic, int shard) {
  return fmt::format("y:{{s{}}}:dedup:{}:", shard, topic);
}

std::string RequestPrefix(std::string_view request, int shards) {
  return DedupPrefix("requests", ShardOf(request, shards));
}

DedupPlace DedupPlaceOf(std::string_view key) {
  // Cryptographic, as senders choose what keys are made from: nobody can aim at another's.
  const std::string digest = Sha256(key);
  int64_t member = 0;
  std::memcpy(&member, digest.data(), sizeof member);
  const auto byte = [&digest](size_t at) { return static_cast<unsigned char>(digest[at]); };
  const unsigned bucket = (static_cast<unsigned>(byte(8)) << 8 | byte(9)) % kDedupBuckets;
  return {fmt::format("{:04x}", bucket), fmt::format("{}", member)};
}

std::string ShardsKey(std::string_view topic) { return fmt::format("y:{{s0}}:shards:{}", topic); }

std::string MembersKey(std::string_view topic, std::string_view reader) {
  return fmt::format("y:{{s0}}:members:{}:{}", topic, reader);
}

redis::Script AppendScript() {
  return Assemble("local period = tonumber(ARGV[1])\n", kDedup, R"lua(
local ids = {}
for i = 2, #ARGV, 4 do
  ids[#ids + 1] = append(KEYS[1], KEYS[2], ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
end
return ids
)lua");
}

redis::Script AppendRequestScript() {
  return Assemble("local period = tonumber(ARGV[1])\n", kDedup, R"lua(
if known(KEYS[1], ARGV[2], ARGV[3]) then return {'known'} end
local answer = {'appended'}
for i = 4, #ARGV, 5 do
  local at = 2 * tonumber(ARGV[i])
  answer[#answer + 1] = append(KEYS[at], KEYS[at + 1], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3],
                               ARGV[i + 4])
end
remember(KEYS[1], ARGV[2], ARGV[3])
return answer
)lua");
}

redis::Script RequestScript() {
  return Assemble("local period = tonumber(ARGV[1])\n", kDedup, R"lua(
if known(KEYS[1], ARGV[2], ARGV[3]) then return 1 end
if ARGV[4] == '1' then remember(KEYS[1], ARGV[2], ARGV[3]) end
return 0
)lua");
}

std::string DedupPeriod(std::chrono::seconds window) {
  constexpr int64_t kPeriods = 4;  // of a window
  return std::to_string(std::max<int64_t>((window.count() + kPeriods - 1) / kPeriods, 1));
}

redis::Script AcquireScript() {
  return Assemble(kAllowOom, kNow, kGroups, kDeclare, R"lua(
local held = redis.call('HMGET', KEYS[1], 'holder', 'until')
local t = now()
if held[1] and held[1] ~= ARGV[2] and tonumber(held[2]) > t then
  return redis.error_reply('YAGURA_LEASE_HELD by another for ' .. ms(held[2] - t) .. ' ms')
end
if not groups(KEYS[2])[ARGV[1]] then declare(KEYS[2], ARGV[1]) end
local epoch = redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('HSET', KEYS[1], 'holder', ARGV[2], 'until', ms(t + tonumber(ARGV[3])))
return {epoch, groups(KEYS[2])[ARGV[1]]['last-delivered-id']}
)lua");
}

redis::Script RenewScript() {
  return Assemble(kAllowOom, kNow, kFence, R"lua(
return fence(KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])) or 1
)lua");
}

// The epoch stays, as it must never go back; without a holder nobody can renew it by mistake.
redis::Script ReleaseScript() {
  return Assemble(kAllowOom, kNow, kFence, R"lua(
local lost = fence(KEYS[1], ARGV[1], ARGV[2], 0)
if not lost then redis.call('HSET', KEYS[1], 'holder', '', 'until', '0') end
return 1
)lua");
}

redis::Script CommitScript() {
  return Assemble(kAllowOom, kNow, kFence, kGroups, kAdvance, R"lua(
local lost = fence(KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]))
if lost then return lost end
local group = groups(KEYS[2])[ARGV[4]]
local missing = check(group, ARGV[4])
if missing then return missing end
if group['last-delivered-id'] ~= ARGV[5] then return group['last-delivered-id'] end
advance(KEYS[2], group, ARGV[4], ARGV[6], tonumber(ARGV[7]))
return ARGV[6]
)lua");
}

redis::Script DeadLetterScript() {
  return Assemble(kAllowOom, kNow, kFence, kGroups, kAdvance, kDeadSize, R"lua(
local lost = fence(KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]))
if lost then return lost end
local group = groups(KEYS[2])[ARGV[4]]
local missing = check(group, ARGV[4])
if missing then return missing end
if group['last-delivered-id'] ~= ARGV[5] then return group['last-delivered-id'] end
local function bury(err, entry)
  local letter = {'id', ARGV[6], 'reader', ARGV[4], 'error', err}
  for _, text in ipairs(entry) do letter[#letter + 1] = text end
  redis.call('XADD', KEYS[3], '*', unpack(letter))
  redis.call('HINCRBY', KEYS[4], 'bytes', size(letter))
end
if ARGV[10] == 'whole' then
  local entry = redis.call('XRANGE', KEYS[2], ARGV[6], ARGV[6])[1]
  if entry then bury(ARGV[11], entry[2]) end
else
  for i = 11, #ARGV, 3 do bury(ARGV[i + 2], {'k', ARGV[i], 'p', ARGV[i + 1]}) end
end
bound(KEYS[3], KEYS[4], tonumber(ARGV[8]), tonumber(ARGV[9]))
advance(KEYS[2], group, ARGV[4], ARGV[6], tonumber(ARGV[7]))
return ARGV[6]
)lua");
}

redis::Script WriteDeadLetterScript() {
  return Assemble(kAllowOom, kDeadSize, R"lua(
if not redis.call('SET', KEYS[3], '1', 'NX', 'EX', ARGV[1]) then return 0 end
local letter = {'id', ARGV[4], 'reader', ARGV[5], 'error', ARGV[6], 'k', ARGV[7], 'p', ARGV[8]}
redis.call('XADD', KEYS[1], '*', unpack(letter))
redis.call('HINCRBY', KEYS[2], 'bytes', size(letter))
bound(KEYS[1], KEYS[2], tonumber(ARGV[2]), tonumber(ARGV[3]))
return 1
)lua");
}

redis::Script RemoveDeadLetterScript() {
  return Assemble(kAllowOom, kDeadSize, R"lua(
local letter = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not letter then return 0 end
drop(KEYS[1], KEYS[2], letter)
return 1
)lua");
}

redis::Script DeclareScript() {
  return Assemble(kGroups, kDeclare, R"lua(
local known = groups(KEYS[1])
for _, reader in ipairs(ARGV) do
  if not known[reader] then declare(KEYS[1], reader) end
end
return 1
)lua");
}

// Every group counts, not only those that the caller knows of: another process may run with
// settings that declare one more.
redis::Script TrimScript() {
  return Assemble(kAllowOom, kGroups, R"lua(
local known = groups(KEYS[1])
for i = 2, #ARGV do
  if not known[ARGV[i]] then return -1 end
end
local lowest_ms, lowest_seq
for _, group in pairs(known) do
  local ms, seq = string.match(group['last-delivered-id'], '^(%d+)-(%d+)$')
  ms, seq = tonumber(ms), tonumber(seq)
  if not lowest_ms or ms < lowest_ms or (ms == lowest_ms and seq < lowest_seq) then
    lowest_ms, lowest_seq = ms, seq
  end
end
if not lowest_ms then return -1 end
local first_kept = string.format('%.0f-%.0f', lowest_ms, lowest_seq + 1)
if ARGV[1] == '~' then
  return redis.call('XTRIM', KEYS[1], 'MINID', '~', first_kept, 'LIMIT', 10000)
end
return redis.call('XTRIM', KEYS[1], 'MINID', '=', first_kept)
)lua");
}

redis::Script MemberScript() {
  return Assemble(kAllowOom, kNow, R"lua(
local t = now()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ms(t))
redis.call('ZADD', KEYS[1], ms(t + tonumber(ARGV[2])), ARGV[1])
return redis.call('ZCARD', KEYS[1])
)lua");
}

Status FromAppend(const Status& status) {
  if (ErrorReason(status) != "REDIS_OUT_OF_MEMORY") return status;
  return MakeError(status.code(), "FLOW_FULL", Message(status));
}

Status FromScript(const Status& status) {
  if (status.code() != absl::StatusCode::kAborted) return status;
  const std::string reason = ErrorReason(status);
  if (reason == "YAGURA_LEASE_LOST") {
    return MakeError(absl::StatusCode::kAborted, "LEASE_LOST", Message(status));
  }
  if (reason == "YAGURA_LEASE_HELD") return Unavailable("LEASE_HELD", Message(status));
  if (reason == "YAGURA_NO_READER") {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NO_READER", Message(status));
  }
  return status;
}

}  // namespace yagura::stream
