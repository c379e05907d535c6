#include "services/archive/storage/unit_ledger.h"

#include <chrono>
#include <map>
#include <utility>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::archive {
namespace {

constexpr std::chrono::days kKept{40};
constexpr std::string_view kBegunKey = "y:{-}:archive:unit-ledger";
constexpr std::string_view kProvenKey = "y:{-}:archive:proven-since";

// KEYS ledger; ARGV seconds to keep it, unit...
constexpr std::string_view kNote = R"lua(#!lua flags=allow-oom
for i = 2, #ARGV do redis.call('SADD', KEYS[1], ARGV[i]) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
)lua";

std::string KeyOf(std::string_view tenant, int64_t day) {
  return fmt::format("y:{{{}}}:archive:units:{}", tenant, day);
}

// All that a head says of a unit.
std::string MemberOf(const EventUnit& unit) { return UnitChainNext({}, unit, kHeadScheme); }

}  // namespace

UnitLedger::UnitLedger(std::shared_ptr<redis::Pool> state)
    : state_(std::move(state)), note_(kNote) {}

Status UnitLedger::Note(const std::vector<EventUnit>& units) const {
  std::map<std::string, std::vector<std::string>> members;  // by key
  for (const EventUnit& unit : units) {
    members[KeyOf(unit.tenant, unit.day)].push_back(MemberOf(unit));
  }
  const std::string seconds = std::to_string(std::chrono::seconds(kKept).count());
  std::vector<redis::Script::Call> calls;
  for (const auto& [key, texts] : members) {
    auto& call = calls.emplace_back();
    call.keys = {key};
    call.args = {seconds};
    call.args.insert(call.args.end(), texts.begin(), texts.end());
  }
  if (calls.empty()) return absl::OkStatus();
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  for (const auto& reply : note_.RunAll(*connection, calls)) {
    YAGURA_RETURN_IF_ERROR(reply.status());
  }
  return absl::OkStatus();
}

StatusOr<std::vector<bool>> UnitLedger::Noted(const std::vector<EventUnit>& units) const {
  std::vector<bool> noted(units.size());
  if (units.empty()) return noted;
  std::vector<std::string> words = {"SMISMEMBER", KeyOf(units.front().tenant, units.front().day)};
  for (const EventUnit& unit : units) words.push_back(MemberOf(unit));
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply, state_->Command({words.begin(), words.end()}));
  for (size_t i = 0; i < units.size() && i < reply.items.size(); ++i) {
    noted[i] = reply.items[i].integer == 1;
  }
  return noted;
}

Status UnitLedger::Forget(const std::vector<EventUnit>& units) const {
  if (units.empty()) return absl::OkStatus();
  std::vector<std::string> words = {"SREM", KeyOf(units.front().tenant, units.front().day)};
  for (const EventUnit& unit : units) words.push_back(MemberOf(unit));
  return state_->Command({words.begin(), words.end()}).status();
}

StatusOr<bool> UnitLedger::Begun() const {
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply,
                          state_->Command({"EXISTS", std::string(kBegunKey)}));
  return reply.integer == 1;
}

Status UnitLedger::Begin() const {
  return state_->Command({"SET", std::string(kBegunKey), "1"}).status();
}

StatusOr<std::optional<TimePoint>> UnitLedger::ProvenSince() const {
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply,
                          state_->Command({"GET", std::string(kProvenKey)}));
  if (reply.is_nil()) return std::nullopt;
  const auto since = ParseNumber<int64_t>(reply.text);
  if (!since) {
    return MakeError(absl::StatusCode::kDataLoss, "LEDGER_UNREADABLE",
                     fmt::format("{} is not a number of nanoseconds", kProvenKey));
  }
  return TimePoint(std::chrono::nanoseconds(*since));
}

Status UnitLedger::BeginProof(TimePoint since) const {
  const std::string nanoseconds = std::to_string(since.time_since_epoch().count());
  return state_->Command({"SET", std::string(kProvenKey), nanoseconds, "NX"}).status();
}

}  // namespace yagura::archive
