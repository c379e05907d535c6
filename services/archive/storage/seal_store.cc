#include "services/archive/storage/seal_store.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/store/feed_entry.h"
#include "common/store/keys.h"
#include "common/stream/scripts.h"
#include "common/text/text.h"
#include "services/archive/domain/audit_chain.h"

namespace yagura::archive {
namespace {

constexpr std::string_view kKeysKey = "y:{-}:archive:audit-keys";
constexpr uint64_t kTrimStep = 5'000;
constexpr std::string_view kRenumberStep = "500";
constexpr size_t kReadStep = 1'000;
constexpr size_t kTenantsAtOnce = 100;

// What drains the feeds must work while Redis is at its memory limit.
constexpr std::string_view kCommon = R"lua(#!lua flags=allow-oom
local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end
local function ms(n) return string.format('%.0f', n) end
)lua";

// KEYS seal...; ARGV holder, epoch, lease ms...
constexpr std::string_view kFence = R"lua(
local held = redis.call('HMGET', KEYS[1], 'holder', 'epoch')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then
  return redis.error_reply('YAGURA_LEASE_LOST the tenant has another sealer')
end
redis.call('HSET', KEYS[1], 'until', ms(now() + tonumber(ARGV[3])))
)lua";

// ARGV holder, lease ms.
constexpr std::string_view kAcquire = R"lua(
local held = redis.call('HMGET', KEYS[1], 'holder', 'until')
if held[1] and held[1] ~= '' and held[1] ~= ARGV[1] and tonumber(held[2]) > now() then
  return redis.error_reply('YAGURA_LEASE_HELD by another')
end
local epoch = redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'until', ms(now() + tonumber(ARGV[2])))
local at = redis.call('HMGET', KEYS[1], 'sequence', 'hash', 'plan')
return {ms(epoch), at[1], at[2], at[3]}
)lua";

// ARGV ... plan.
constexpr std::string_view kPlan = "redis.call('HSET', KEYS[1], 'plan', ARGV[4]) return 1";

// ARGV ... sequence, hash.
constexpr std::string_view kAdvance = R"lua(
redis.call('HSET', KEYS[1], 'sequence', ARGV[4], 'hash', ARGV[5])
redis.call('HDEL', KEYS[1], 'plan')
return 1
)lua";

// KEYS seal, sequence, feed, feed to be; ARGV ... sealed, hash, first entry of this step, last
// number given, most entries. The feed is made anew, since a stream takes no id below its last; a
// reader that had seen more is told some of it again. What comes meanwhile is at the feed's end and
// is taken by the last step. The first entry of the next step and the last number given; 0 when
// done.
constexpr std::string_view kRenumber = R"lua(
local last = tonumber(ARGV[7])
local most = tonumber(ARGV[8])
if last == tonumber(ARGV[4]) then redis.call('UNLINK', KEYS[4]) end
local entries = redis.call('XRANGE', KEYS[3], ARGV[6], '+', 'COUNT', most)
for _, entry in ipairs(entries) do
  last = last + 1
  redis.call('XADD', KEYS[4], ms(last) .. '-0', unpack(entry[2]))
end
if #entries == most then return {'(' .. entries[most][1], ms(last)} end
redis.call('UNLINK', KEYS[3])
if last > tonumber(ARGV[4]) then redis.call('RENAME', KEYS[4], KEYS[3]) end
redis.call('SET', KEYS[2], ms(last))
redis.call('HSET', KEYS[1], 'sequence', ARGV[4], 'hash', ARGV[5])
redis.call('HDEL', KEYS[1], 'plan')
return {'', ms(last)}
)lua";

constexpr std::string_view kRelease = R"lua(
redis.call('HSET', KEYS[1], 'holder', '', 'until', '0')
return 1
)lua";

// KEYS seal, feed; ARGV sequence.
constexpr std::string_view kTrim = R"lua(
local sealed = redis.call('HGET', KEYS[1], 'sequence')
if not sealed or tonumber(sealed) < tonumber(ARGV[1]) then
  return redis.error_reply('YAGURA_NOT_SEALED nothing is dropped that is not sealed')
end
return redis.call('XTRIM', KEYS[2], 'MINID', ms(tonumber(ARGV[1]) + 1) .. '-0')
)lua";

redis::Script Assemble(std::string_view first, std::string_view second = {}) {
  return redis::Script(std::string(kCommon).append(first).append(second));
}

std::string SealKey(std::string_view tenant) {
  return fmt::format("y:{{{}}}:archive:seal", tenant);
}

// While a feed is given new numbers.
std::string RenumberedKey(std::string_view tenant) {
  return fmt::format("y:{{{}}}:archive:renumbered", tenant);
}

StatusOr<SealStore::Position> ToPosition(std::string_view tenant, const redis::Reply& sequence,
                                         const redis::Reply& hash, const redis::Reply& plan) {
  SealStore::Position position;
  if (sequence.is_nil()) {
    position.hash = ChainStart(tenant);
  } else {
    const auto number = ParseNumber<uint64_t>(sequence.text);
    if (!number || hash.text.size() != kChainHashBytes) {
      return MakeError(absl::StatusCode::kDataLoss, "SEAL_POSITION_UNREADABLE",
                       fmt::format("where the chain of {} stands cannot be read", tenant));
    }
    position.sequence = *number;
    position.hash = hash.text;
  }
  if (!plan.is_nil()) {
    position.plan.emplace();
    if (!position.plan->ParseFromString(plan.text)) {
      return MakeError(absl::StatusCode::kDataLoss, "SEAL_PLAN_UNREADABLE",
                       fmt::format("the planned seal of {} cannot be read", tenant));
    }
  }
  return position;
}

Status FromScript(const Status& status) {
  if (ErrorReason(status) == "YAGURA_NOT_SEALED") {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NOT_SEALED", Message(status));
  }
  return stream::FromScript(status);
}

// The field `r` of a stream entry {id, {name, value, ...}}.
const std::string* BytesOf(const redis::Reply& entry) {
  if (entry.items.size() != 2 || entry.items[1].items.size() < 2) return nullptr;
  return &entry.items[1].items[1].text;
}

}  // namespace

SealStore::SealStore(std::shared_ptr<redis::Pool> state)
    : state_(std::move(state)),
      acquire_(Assemble(kAcquire)),
      plan_(Assemble(kFence, kPlan)),
      advance_(Assemble(kFence, kAdvance)),
      renumber_(Assemble(kFence, kRenumber)),
      release_(Assemble(kFence, kRelease)),
      trim_(Assemble(kTrim)) {}

StatusOr<std::pair<SealStore::Lease, SealStore::Position>> SealStore::Acquire(
    std::string_view tenant, std::string_view holder, std::chrono::milliseconds length) const {
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  const std::string key = SealKey(tenant);
  const std::string lease_ms = std::to_string(length.count());
  const auto reply = acquire_.Run(*connection, {key}, {holder, lease_ms});
  if (!reply.ok()) return FromScript(reply.status());
  if (reply->items.size() != 4) return Internal("the script of the seal gave an unknown answer");
  YAGURA_ASSIGN_OR_RETURN(Position position,
                          ToPosition(tenant, reply->items[1], reply->items[2], reply->items[3]));
  Lease lease{std::string(tenant), std::string(holder),
              ParseNumber<uint64_t>(reply->items[0].text).value_or(0), length};
  return std::pair(std::move(lease), std::move(position));
}

StatusOr<redis::Reply> SealStore::Fenced(const redis::Script& script, const Lease& lease,
                                         const std::vector<std::string>& more_keys,
                                         const std::vector<std::string>& more_args) const {
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  const std::string key = SealKey(lease.tenant);
  const std::string epoch = std::to_string(lease.epoch);
  const std::string lease_ms = std::to_string(lease.length.count());
  redis::Args keys = {key};
  keys.insert(keys.end(), more_keys.begin(), more_keys.end());
  redis::Args args = {lease.holder, epoch, lease_ms};
  args.insert(args.end(), more_args.begin(), more_args.end());
  auto reply = script.Run(*connection, keys, args);
  if (!reply.ok()) return FromScript(reply.status());
  return reply;
}

Status SealStore::Plan(const Lease& lease, const internal::v1::SealPlan& plan) const {
  return Fenced(plan_, lease, {}, {plan.SerializeAsString()}).status();
}

Status SealStore::Advance(const Lease& lease, uint64_t sequence, std::string_view hash) const {
  return Fenced(advance_, lease, {}, {std::to_string(sequence), std::string(hash)}).status();
}

Status SealStore::Renumber(const Lease& lease, uint64_t common, uint64_t sealed,
                           std::string_view hash) const {
  const std::vector<std::string> keys = {store::SequenceKey(lease.tenant),
                                         store::FeedKey(lease.tenant), RenumberedKey(lease.tenant)};
  std::string from = fmt::format("{}-0", common + 1);
  std::string last = std::to_string(sealed);
  for (;;) {
    YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply,
                            Fenced(renumber_, lease, keys,
                                   {std::to_string(sealed), std::string(hash), from, last,
                                    std::string(kRenumberStep)}));
    if (reply.items.size() != 2) return Internal("the script of the seal gave an unknown answer");
    from = reply.items[0].text;
    last = reply.items[1].text;
    if (from.empty()) return absl::OkStatus();
  }
}

void SealStore::Release(const Lease& lease) const {
  // Whoever cannot release it leaves it to run out.
  static_cast<void>(Fenced(release_, lease, {}, {}));
}

StatusOr<uint64_t> SealStore::Trim(std::string_view tenant, uint64_t sequence) const {
  const std::string seal = SealKey(tenant);
  const std::string feed = store::FeedKey(tenant);
  uint64_t dropped = 0;
  for (;;) {
    YAGURA_ASSIGN_OR_RETURN(const auto found, Look({std::string(tenant)}));
    const Feed& at = found.begin()->second;
    if (at.oldest == 0 || at.oldest > sequence) return dropped;
    const std::string up_to = std::to_string(std::min(sequence, at.oldest + kTrimStep - 1));
    YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
    const auto reply = trim_.Run(*connection, {seal, feed}, {up_to});
    if (!reply.ok()) return FromScript(reply.status());
    dropped += static_cast<uint64_t>(reply->integer);
  }
}

StatusOr<SealStore::Position> SealStore::Read(std::string_view tenant) const {
  YAGURA_ASSIGN_OR_RETURN(const auto reply,
                          state_->Command({"HMGET", SealKey(tenant), "sequence", "hash", "plan"}));
  if (reply.items.size() != 3) return Internal("HMGET gave an unknown answer");
  return ToPosition(tenant, reply.items[0], reply.items[1], reply.items[2]);
}

StatusOr<std::map<std::string, SealStore::Feed>> SealStore::Look(
    const std::vector<std::string>& tenants) const {
  std::map<std::string, Feed> found;
  for (size_t begin = 0; begin < tenants.size(); begin += kTenantsAtOnce) {
    const size_t end = std::min(tenants.size(), begin + kTenantsAtOnce);
    std::vector<std::string> keys;
    keys.reserve(3 * (end - begin));
    for (size_t i = begin; i < end; ++i) {
      keys.push_back(SealKey(tenants[i]));
      keys.push_back(store::SequenceKey(tenants[i]));
      keys.push_back(store::FeedKey(tenants[i]));
    }
    std::vector<redis::Args> commands;
    for (size_t i = 0; i < keys.size(); i += 3) {
      commands.push_back({"HMGET", keys[i], "sequence", "plan"});
      commands.push_back({"GET", keys[i + 1]});
      commands.push_back({"XRANGE", keys[i + 2], "-", "+", "COUNT", "1"});
    }
    const auto replies = state_->Pipeline(commands);
    for (size_t i = 0; i < replies.size(); i += 3) {
      for (size_t k = 0; k < 3; ++k) YAGURA_RETURN_IF_ERROR(replies[i + k].status());
      Feed& feed = found[tenants[begin + i / 3]];
      const auto& seal = replies[i]->items;
      if (seal.size() == 2) {
        feed.sealed = ParseNumber<uint64_t>(seal[0].text).value_or(0);
        feed.planned = !seal[1].is_nil();
      }
      feed.newest = ParseNumber<uint64_t>(replies[i + 1]->text).value_or(0);
      const auto& oldest = replies[i + 2]->items;
      if (oldest.empty() || oldest[0].items.empty()) continue;
      feed.oldest = store::SequenceOfId(oldest[0].items[0].text).value_or(0);
      audit::v1::Record record;
      const std::string* bytes = BytesOf(oldest[0]);
      if (bytes != nullptr && record.ParseFromString(*bytes) && record.has_time()) {
        feed.oldest_time = FromProto(record.time());
      }
    }
  }
  return found;
}

StatusOr<std::vector<SealStore::Entry>> SealStore::ReadFeed(std::string_view tenant, uint64_t after,
                                                            size_t limit, size_t max_bytes) const {
  const std::string key = store::FeedKey(tenant);
  std::vector<Entry> entries;
  size_t bytes = 0;
  while (entries.size() < limit && bytes < max_bytes) {
    const std::string from = fmt::format("{}-0", after + 1);
    const size_t wanted = std::min(kReadStep, limit - entries.size());
    const std::string count = std::to_string(wanted);
    YAGURA_ASSIGN_OR_RETURN(const auto reply,
                            state_->Command({"XRANGE", key, from, "+", "COUNT", count}));
    for (const redis::Reply& item : reply.items) {
      const auto sequence =
          item.items.empty() ? std::nullopt : store::SequenceOfId(item.items[0].text);
      if (!sequence) return Internal("XRANGE gave an unknown answer");
      const std::string* record = BytesOf(item);
      entries.push_back({*sequence, record == nullptr ? std::string() : *record});
      bytes += entries.back().bytes.size();
      after = *sequence;
      if (bytes >= max_bytes) break;
    }
    if (reply.items.size() < wanted) break;
  }
  return entries;
}

Status SealStore::PutKey(std::string_view id, std::string_view public_key) const {
  return state_->Command({"HSETNX", kKeysKey, id, public_key}).status();
}

StatusOr<std::map<std::string, std::string>> SealStore::Keys() const {
  YAGURA_ASSIGN_OR_RETURN(const auto reply, state_->Command({"HGETALL", kKeysKey}));
  std::map<std::string, std::string> keys;
  for (size_t i = 0; i + 1 < reply.items.size(); i += 2) {
    keys[reply.items[i].text] = reply.items[i + 1].text;
  }
  return keys;
}

}  // namespace yagura::archive
