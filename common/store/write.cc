#include "common/store/write.h"

#include <sys/random.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <set>

#include "fmt/format.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/message.h"

#include "common/digest/sha256.h"
#include "common/redis/pool.h"
#include "common/redis/script.h"
#include "common/status/status.h"
#include "common/store/keys.h"
#include "common/text/text.h"

namespace yagura::store {
namespace {

constexpr std::string_view kRequestLifetimeSeconds = "86400";

// KEYS: resource, all ids, index marker, sequence, feed, request, claims, then index keys.
// ARGV: what, expected etag, new value, id path, index version, record, request digest, request
// field, request lifetime, number of removed entries, number of guards, (what, shared) of each
// guard, then (index of key, member) for the removed and the added entries.
//
// The index marker says for which index version the tenant's entries are complete. A writer of
// another version (during an upgrade) marks it dirty, so that the next list reindexes. A reindexing
// job owns the marker as "<version>:<token>".
constexpr std::string_view kWriteScript = R"lua(
local what = ARGV[1]
if ARGV[8] ~= '' then
  local digest = redis.call('HGET', KEYS[6], 'digest')
  if digest then
    if digest ~= ARGV[7] then return {'REUSED', ''} end
    local first = redis.call('HGET', KEYS[6], ARGV[8])
    if first then return {'REPLAYED', first} end
  end
end
local etag = redis.call('GETRANGE', KEYS[1], 6, 21)
if what == 'create' then
  if etag ~= '' then return {'EXISTS', etag} end
elseif etag == '' then
  return {'MISSING', ''}
elseif etag ~= ARGV[2] then
  return {'DIFFERS', etag}
end
local marker = redis.call('GET', KEYS[3])
local guards = tonumber(ARGV[11])
if guards > 0 and marker and marker ~= ARGV[5] then return {'BEHIND', ''} end
for g = 1, guards do
  local claim, shared = ARGV[10 + 2 * g], ARGV[11 + 2 * g]
  for _, member in ipairs(redis.call('ZRANGEBYLEX', KEYS[7], '[' .. claim, '(' .. claim .. '\255')) do
    local id = string.sub(member, 66)
    local agrees = shared ~= '' and string.sub(member, 1, 64) == shared
    if id ~= ARGV[4] and not agrees then return {'CLAIMED', g .. ' ' .. id} end
  end
end
if what == 'delete' then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[4])
else
  redis.call('SET', KEYS[1], ARGV[3])
  if what == 'create' then redis.call('ZADD', KEYS[2], 0, ARGV[4]) end
end
local removed = tonumber(ARGV[10])
local entries = 12 + 2 * guards
for i = entries, #ARGV, 2 do
  local key = KEYS[tonumber(ARGV[i])]
  if i < entries + 2 * removed then
    redis.call('ZREM', key, ARGV[i + 1])
  else
    redis.call('ZADD', key, 0, ARGV[i + 1])
  end
end
if not marker then
  redis.call('SET', KEYS[3], ARGV[5])
elseif marker ~= ARGV[5] and string.sub(marker, 1, #ARGV[5] + 1) ~= ARGV[5] .. ':' then
  redis.call('SET', KEYS[3], 'dirty')
end
if ARGV[8] ~= '' then
  redis.call('HSET', KEYS[6], 'digest', ARGV[7], ARGV[8], ARGV[3])
  redis.call('EXPIRE', KEYS[6], ARGV[9])
end
if ARGV[6] ~= '' then
  local sequence = redis.call('INCR', KEYS[4])
  redis.call('XADD', KEYS[5], string.format('%.0f', sequence) .. '-0', 'r', ARGV[6])
end
return {'DONE', ''}
)lua";

// KEYS: request. ARGV: digest, field, answer, lifetime.
constexpr std::string_view kRememberScript = R"lua(
local digest = redis.call('HGET', KEYS[1], 'digest')
if digest and digest ~= ARGV[1] then return {'REUSED', ''} end
local first = redis.call('HGET', KEYS[1], ARGV[2])
if first then return {'REPLAYED', first} end
redis.call('HSET', KEYS[1], 'digest', ARGV[1], ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return {'DONE', ''}
)lua";

const redis::Script& RememberScript() {
  static const redis::Script kRemember(kRememberScript);  // immutable
  return kRemember;
}

const redis::Script& WriteScript() {
  static const redis::Script kWrite(kWriteScript);  // immutable
  return kWrite;
}

std::string_view NameOf(WriteKind kind) {
  switch (kind) {
    case WriteKind::kCreate:
      return "create";
    case WriteKind::kUpdate:
      return "update";
    case WriteKind::kDelete:
      return "delete";
  }
  return "";
}

absl::StatusOr<WriteResult::Outcome> OutcomeOf(std::string_view word) {
  using Outcome = WriteResult::Outcome;
  if (word == "DONE") return Outcome::kDone;
  if (word == "REPLAYED") return Outcome::kReplayed;
  if (word == "REUSED") return Outcome::kReused;
  if (word == "EXISTS") return Outcome::kExists;
  if (word == "MISSING") return Outcome::kMissing;
  if (word == "DIFFERS") return Outcome::kEtagDiffers;
  if (word == "CLAIMED") return Outcome::kClaimed;
  if (word == "BEHIND") return Outcome::kIndexBehind;
  return Internal("the write script gave an unknown answer");
}

absl::StatusOr<WriteResult> ResultOf(const redis::Reply& reply) {
  if (reply.items.size() != 2) return Internal("the write script gave an unknown answer");
  WriteResult result;
  YAGURA_ASSIGN_OR_RETURN(result.outcome, OutcomeOf(reply.items[0].text));
  result.value = reply.items[1].text;
  return result;
}

}  // namespace

std::string EncodeStored(const Stored& stored) {
  return fmt::format("{}{:04x}{}", kSchemaVersion, stored.index_version, stored.etag) +
         stored.message;
}

absl::StatusOr<Stored> DecodeStored(std::string_view bytes) {
  int version = 0;
  const bool whole = bytes.size() >= kHeaderSize && bytes.starts_with(kSchemaVersion);
  const auto [end, error] = whole ? std::from_chars(bytes.data() + 2, bytes.data() + 6, version, 16)
                                  : std::from_chars_result{nullptr, std::errc::invalid_argument};
  if (error != std::errc{} || end != bytes.data() + 6) {
    return MakeError(absl::StatusCode::kDataLoss, "STORED_RESOURCE_UNREADABLE",
                     "a stored resource is of an unknown schema version");
  }
  return Stored{.etag = std::string(bytes.substr(6, 16)),
                .index_version = version,
                .message = std::string(bytes.substr(kHeaderSize))};
}

std::string Serialize(const google::protobuf::Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return bytes;
}

std::string NewEtag() {
  uint64_t random = 0;
  if (getrandom(&random, sizeof(random), 0) != sizeof(random)) std::abort();
  return fmt::format("{:016x}", random);
}

RequestIdentity IdentityOf(const WriteContext& context, const CompiledKind& kind,
                           const Location& location, WriteKind write) {
  if (context.request_id.empty()) return {};
  // Lengths keep the parts apart whatever they hold.
  const std::string who = fmt::format(
      "{}:{}{}:{}{}:{}{}", context.principal.size(), context.principal, context.on_behalf_of.size(),
      context.on_behalf_of, context.method.size(), context.method, context.request_id);
  RequestIdentity identity;
  identity.key = RequestKey(location.tenant, HexEncode(Sha256(who).substr(0, 16)));
  identity.digest = context.request_digest;
  identity.field = fmt::format("{} {}", NameOf(write), kind.full_kind());
  if (write != WriteKind::kCreate) identity.field += " " + location.id_path;
  return identity;
}

absl::StatusOr<WriteResult> RunRemember(redis::Pool& state, const RequestIdentity& request,
                                        std::string_view answer) {
  YAGURA_ASSIGN_OR_RETURN(auto lease, state.Acquire());
  YAGURA_ASSIGN_OR_RETURN(const auto reply,
                          RememberScript().Run(*lease, {request.key},
                                               {request.digest, request.field, std::string(answer),
                                                kRequestLifetimeSeconds}));
  return ResultOf(reply);
}

absl::StatusOr<WriteResult> RunWrite(redis::Pool& state, const CompiledKind& kind,
                                     const Location& location, const RequestIdentity& request,
                                     const Write& write) {
  const auto& tenant = location.tenant;
  std::vector<std::string> keys = {DataKey(kind.kind(), tenant, location.id_path),
                                   AllIdsKey(kind.kind(), tenant),
                                   IndexMarkerKey(kind.kind(), tenant),
                                   SequenceKey(tenant),
                                   FeedKey(tenant),
                                   request.key.empty() ? FeedKey(tenant) : request.key,
                                   ClaimsKey(kind.kind(), tenant)};
  const size_t fixed_keys = keys.size();
  const std::string value =
      write.kind == WriteKind::kDelete ? std::string() : EncodeStored(write.next);
  std::vector<std::string> args = {std::string(NameOf(write.kind)),
                                   write.expected_etag,
                                   value,
                                   location.id_path,
                                   std::to_string(kind.kind().index_version),
                                   write.record,
                                   request.digest,
                                   request.field,
                                   std::string(kRequestLifetimeSeconds),
                                   {},
                                   std::to_string(write.guards.size())};
  for (const ClaimGuard& guard : write.guards) {
    args.push_back(guard.what);
    args.push_back(guard.shared);
  }
  const auto add_entries = [&](const std::vector<Write::IndexEntry>& entries,
                               const std::set<Write::IndexEntry>& others) {
    size_t added = 0;
    for (const auto& entry : entries) {
      if (others.contains(entry)) continue;
      size_t key = fixed_keys;
      while (key < keys.size() && keys[key] != entry.first) ++key;
      if (key == keys.size()) keys.push_back(entry.first);
      args.push_back(std::to_string(key + 1));
      args.push_back(entry.second);
      ++added;
    }
    return added;
  };
  const std::set<Write::IndexEntry> kept(write.new_entries.begin(), write.new_entries.end());
  std::set<Write::IndexEntry> standing;
  if (write.old_entries_stand) standing = {write.old_entries.begin(), write.old_entries.end()};
  const size_t removed = add_entries(write.old_entries, kept);
  add_entries(write.new_entries, standing);
  args[9] = std::to_string(removed);

  YAGURA_ASSIGN_OR_RETURN(auto lease, state.Acquire());
  YAGURA_ASSIGN_OR_RETURN(const auto reply,
                          WriteScript().Run(*lease, redis::Args(keys.begin(), keys.end()),
                                            redis::Args(args.begin(), args.end())));
  return ResultOf(reply);
}

}  // namespace yagura::store
