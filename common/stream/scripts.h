#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "common/redis/script.h"

// The Lua scripts of this folder and the keys that they work on. All keys of one shard share the
// braces {s<k>}, so that one script may change them together.
namespace yagura::stream {

// Hash {holder, epoch, until}: who reads the shard for `reader`, until when (Redis's own clock,
// ms).
std::string LeaseKey(std::string_view topic, int shard, std::string_view reader);
// Begins the names of the sets that remember keys: "<prefix><bucket>:<period>", each holding the
// numbers of the keys that were appended in that period and fall into that bucket.
std::string DedupPrefix(std::string_view topic, int shard);
// The same of requests, which are remembered beside the entries that became of them.
std::string RequestPrefix(std::string_view request, int shards);
// Where a key is remembered: 77 bits of its digest. Of 100 million keys in a window, the chance
// that any two are taken for one is about 1 in 30 million.
struct DedupPlace {
  std::string bucket;
  std::string member;  // a 64-bit number, as Redis packs them
};
DedupPlace DedupPlaceOf(std::string_view key);
// Of a shard and period. A set stays packed up to 512 keys (set-max-intset-entries): with this
// many, up to 190 entries a second and shard where the window is a day.
inline constexpr unsigned kDedupBuckets = 8192;
// String: how many shards the topic has.
std::string ShardsKey(std::string_view topic);
// Sorted set of a reader's members by the time (ms) until when they count as alive.
std::string MembersKey(std::string_view topic, std::string_view reader);

// KEYS stream, dedup prefix; ARGV a quarter of the window in seconds, (bucket, member, key,
// payload)... -> the ids; "0-0" where the key was seen before.
redis::Script AppendScript();
// KEYS a request's dedup prefix, then (stream, dedup prefix) of each shard; ARGV a quarter of the
// window in seconds, bucket and member of the request, (place of the shard from 1, bucket, member,
// key, payload)... -> {"appended", ids...} as Append's, or {"known"} where the request was seen
// before and nothing was done.
redis::Script AppendRequestScript();
// KEYS a request's dedup prefix; ARGV as the first of AppendRequest's, then "1" to remember it ->
// 1 where it was seen before, else 0: for who appends it by parts.
redis::Script RequestScript();
// A quarter of the window in seconds, as the scripts take it: at least one.
std::string DedupPeriod(std::chrono::seconds window);
// KEYS lease, stream; ARGV reader, holder, lease ms -> {epoch, committed id}, or YAGURA_LEASE_HELD.
redis::Script AcquireScript();
// KEYS lease; ARGV holder, epoch, lease ms -> 1, or YAGURA_LEASE_LOST.
redis::Script RenewScript();
// KEYS lease; ARGV holder, epoch -> 1.
redis::Script ReleaseScript();
// KEYS lease, stream; ARGV holder, epoch, lease ms, reader, committed id as the caller knows it,
// new id, entries between the two -> the committed id now: the new one, or another where the
// caller's knowledge was old and nothing was done. YAGURA_LEASE_LOST, YAGURA_NO_READER.
redis::Script CommitScript();
// KEYS as Commit's, the dead-letter stream and its size; ARGV as Commit's, most entries and bytes
// to keep, "whole" and the error text, or "pieces" and (key, payload, error)...: puts the entry of
// the new id, or the pieces, to the dead letters, then commits it.
redis::Script DeadLetterScript();
// KEYS dead-letter stream, its size, mark; ARGV seconds for which the mark stays, most entries and
// bytes to keep, id, reader, error, key, payload: puts one letter there without moving any cursor
// -> 1, or 0 where the mark says that it has been there.
redis::Script WriteDeadLetterScript();
// KEYS dead-letter stream, its size; ARGV id -> 1, or 0 where there is none.
redis::Script RemoveDeadLetterScript();
// KEYS stream; ARGV reader... : makes the groups that do not exist.
redis::Script DeclareScript();
// KEYS stream; ARGV "~" or "=", reader... -> entries trimmed; -1 where a reader is not declared.
redis::Script TrimScript();
// KEYS members; ARGV member, time to live ms -> how many members are alive.
redis::Script MemberScript();

// The memory of Redis is full: as whoever appends knows it, RESOURCE_EXHAUSTED (FLOW_FULL). Other
// errors stay as they are.
absl::Status FromAppend(const absl::Status& status);
// A script's refusal as this library's callers know it: LEASE_LOST (ABORTED), LEASE_HELD
// (UNAVAILABLE), NO_READER (FAILED_PRECONDITION). Other errors stay as they are.
absl::Status FromScript(const absl::Status& status);

}  // namespace yagura::stream
