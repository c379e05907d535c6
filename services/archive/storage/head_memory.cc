#include "services/archive/storage/head_memory.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/store/store.h"
#include "common/text/text.h"

namespace yagura::archive {
namespace {

// A field a day, "<sequence>:<hash in hex>:<expires>". What schema 9 wrote lacks the last part.
// In another hash a field a day with the scheme, as earlier releases want to read theirs.
// KEYS heads, schemes; ARGV day, sequence, hash in hex, expires, scheme -> 1 where it was raised.
constexpr std::string_view kRaise = R"lua(
local known = redis.call('HGET', KEYS[1], ARGV[1])
local expires = tonumber(ARGV[4])
if known then
  local sequence, hash, until_ = string.match(known, '^(%d+):(%x+):?(%d*)$')
  if not sequence then
    return redis.error_reply('YAGURA_UNREADABLE what is remembered is no head')
  end
  if tonumber(sequence) > tonumber(ARGV[2]) then return 0 end
  if tonumber(sequence) == tonumber(ARGV[2]) and hash ~= ARGV[3] then
    return redis.error_reply('YAGURA_HEAD_DIFFERS another head of that number was sealed')
  end
  expires = math.max(expires, tonumber(until_) or 0)
end
redis.call('HSET', KEYS[1], ARGV[1],
           ARGV[2] .. ':' .. ARGV[3] .. ':' .. string.format('%.0f', expires))
local scheme = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0) or 0
if tonumber(ARGV[5]) > scheme then redis.call('HSET', KEYS[2], ARGV[1], ARGV[5]) end
return 1
)lua";

// Both as of one moment. KEYS as above; ARGV day.
constexpr std::string_view kRecall = R"lua(
return {redis.call('HGET', KEYS[1], ARGV[1]), redis.call('HGET', KEYS[2], ARGV[1])}
)lua";

std::string KeyOf(std::string_view tenant) {
  return fmt::format("y:{{{}}}:archive:event-heads", tenant);
}

std::string SchemesKeyOf(std::string_view tenant) {
  return fmt::format("y:{{{}}}:archive:event-head-schemes", tenant);
}

Status Unreadable(std::string_view tenant) {
  return MakeError(absl::StatusCode::kDataLoss, "HEAD_MEMORY_UNREADABLE",
                   fmt::format("what is remembered of {}'s heads cannot be read", tenant));
}

StatusOr<HeadMemory::Head> Parse(std::string_view tenant, const std::string& text) {
  constexpr size_t kWithExpiry = 3;
  const auto parts = Split(text, ':');
  if (parts.size() + 1 < kWithExpiry || parts.size() > kWithExpiry) return Unreadable(tenant);
  const auto sequence = ParseNumber<uint32_t>(parts[0]);
  auto hash = HexDecode(parts[1]);
  const auto expires =
      parts.size() < kWithExpiry ? std::optional<int64_t>(0) : ParseNumber<int64_t>(parts[2]);
  if (!sequence || !hash || !expires) return Unreadable(tenant);
  return HeadMemory::Head{*sequence, *std::move(hash), *expires};
}

Status ParseScheme(std::string_view tenant, const std::string& text, HeadMemory::Head& head) {
  const auto scheme = ParseNumber<uint32_t>(text);
  if (!scheme) return Unreadable(tenant);
  head.scheme = std::max(*scheme, HeadMemory::kSchemeBefore);
  return absl::OkStatus();
}

}  // namespace

HeadMemory::HeadMemory(std::shared_ptr<redis::Pool> state)
    : state_(std::move(state)), raise_(kRaise), recall_(kRecall) {}

Status HeadMemory::Raise(const v1::EventHead& head, int64_t expires, uint32_t scheme) const {
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  const std::string key = KeyOf(head.tenant());
  const std::string schemes = SchemesKeyOf(head.tenant());
  const std::string day = std::to_string(head.day());
  const std::string sequence = std::to_string(head.sequence());
  const std::string hash = HexEncode(head.hash());
  const std::string until = std::to_string(expires);
  const std::string by = std::to_string(scheme);
  const Status raised =
      raise_.Run(*connection, {key, schemes}, {day, sequence, hash, until, by}).status();
  const std::string reason = ErrorReason(raised);
  if (reason == "YAGURA_UNREADABLE") return Unreadable(head.tenant());
  if (reason != "YAGURA_HEAD_DIFFERS") return raised;
  return MakeError(absl::StatusCode::kDataLoss, "HEAD_DIFFERS",
                   fmt::format("head {} of a day of {} is not the one that was sealed",
                               head.sequence(), head.tenant()));
}

StatusOr<HeadMemory::Head> HeadMemory::Recall(std::string_view tenant, int64_t day) const {
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  const std::string key = KeyOf(tenant);
  const std::string schemes = SchemesKeyOf(tenant);
  const std::string field = std::to_string(day);
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply,
                          recall_.Run(*connection, {key, schemes}, {field}));
  Head head;
  if (reply.items.size() != 2) return Unreadable(tenant);
  if (!reply.items[0].is_nil()) {
    YAGURA_ASSIGN_OR_RETURN(head, Parse(tenant, reply.items[0].text));
  }
  if (!reply.items[1].is_nil()) {
    YAGURA_RETURN_IF_ERROR(ParseScheme(tenant, reply.items[1].text, head));
  }
  return head;
}

StatusOr<std::map<int64_t, HeadMemory::Head>> HeadMemory::RecallAll(std::string_view tenant) const {
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply, state_->Command({"HGETALL", KeyOf(tenant)}));
  std::map<int64_t, Head> heads;
  for (size_t i = 0; i + 1 < reply.items.size(); i += 2) {
    const auto day = ParseNumber<int64_t>(reply.items[i].text);
    if (!day) return Unreadable(tenant);
    YAGURA_ASSIGN_OR_RETURN(heads[*day], Parse(tenant, reply.items[i + 1].text));
  }
  // In this order: what a head is remembered with is there with it.
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply schemes,
                          state_->Command({"HGETALL", SchemesKeyOf(tenant)}));
  for (size_t i = 0; i + 1 < schemes.items.size(); i += 2) {
    const auto day = ParseNumber<int64_t>(schemes.items[i].text);
    if (!day) return Unreadable(tenant);
    const auto head = heads.find(*day);
    if (head == heads.end()) continue;
    YAGURA_RETURN_IF_ERROR(ParseScheme(tenant, schemes.items[i + 1].text, head->second));
  }
  return heads;
}

StatusOr<std::vector<std::string>> HeadMemory::Tenants() const {
  return store::ListTenants(*state_);
}

Status HeadMemory::Forget(std::string_view tenant, const std::vector<int64_t>& days) const {
  if (days.empty()) return absl::OkStatus();
  // The heads first: none is remembered without its scheme.
  for (const std::string& key : {KeyOf(tenant), SchemesKeyOf(tenant)}) {
    std::vector<std::string> words = {"HDEL", key};
    for (const int64_t day : days) words.push_back(std::to_string(day));
    YAGURA_RETURN_IF_ERROR(state_->Command({words.begin(), words.end()}).status());
  }
  return absl::OkStatus();
}

bool ClaimsALaterScheme(const v1::EventHead& head, const HeadMemory::Head& known) {
  return head.sequence() <= known.sequence && head.scheme() > known.scheme;
}

}  // namespace yagura::archive
