#include "services/archive/storage/head_memory.h"

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
// KEYS heads; ARGV day, sequence, hash in hex, expires -> 1 where it was raised.
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
return 1
)lua";

std::string KeyOf(std::string_view tenant) {
  return fmt::format("y:{{{}}}:archive:event-heads", tenant);
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

}  // namespace

HeadMemory::HeadMemory(std::shared_ptr<redis::Pool> state)
    : state_(std::move(state)), raise_(kRaise) {}

Status HeadMemory::Raise(const v1::EventHead& head, int64_t expires) const {
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  const std::string key = KeyOf(head.tenant());
  const std::string day = std::to_string(head.day());
  const std::string sequence = std::to_string(head.sequence());
  const std::string hash = HexEncode(head.hash());
  const std::string until = std::to_string(expires);
  const Status raised = raise_.Run(*connection, {key}, {day, sequence, hash, until}).status();
  const std::string reason = ErrorReason(raised);
  if (reason == "YAGURA_UNREADABLE") return Unreadable(head.tenant());
  if (reason != "YAGURA_HEAD_DIFFERS") return raised;
  return MakeError(absl::StatusCode::kDataLoss, "HEAD_DIFFERS",
                   fmt::format("head {} of a day of {} is not the one that was sealed",
                               head.sequence(), head.tenant()));
}

StatusOr<HeadMemory::Head> HeadMemory::Recall(std::string_view tenant, int64_t day) const {
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply,
                          state_->Command({"HGET", KeyOf(tenant), std::to_string(day)}));
  if (reply.is_nil()) return Head();
  return Parse(tenant, reply.text);
}

StatusOr<std::map<int64_t, HeadMemory::Head>> HeadMemory::RecallAll(std::string_view tenant) const {
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply, state_->Command({"HGETALL", KeyOf(tenant)}));
  std::map<int64_t, Head> heads;
  for (size_t i = 0; i + 1 < reply.items.size(); i += 2) {
    const auto day = ParseNumber<int64_t>(reply.items[i].text);
    if (!day) return Unreadable(tenant);
    YAGURA_ASSIGN_OR_RETURN(heads[*day], Parse(tenant, reply.items[i + 1].text));
  }
  return heads;
}

StatusOr<std::vector<std::string>> HeadMemory::Tenants() const {
  return store::ListTenants(*state_);
}

Status HeadMemory::Forget(std::string_view tenant, const std::vector<int64_t>& days) const {
  if (days.empty()) return absl::OkStatus();
  std::vector<std::string> words = {"HDEL", KeyOf(tenant)};
  for (const int64_t day : days) words.push_back(std::to_string(day));
  return state_->Command({words.begin(), words.end()}).status();
}

}  // namespace yagura::archive
