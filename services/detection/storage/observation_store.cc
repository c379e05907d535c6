#include "services/detection/storage/observation_store.h"

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::detection {
namespace {

// KEYS state; ARGV hour as loaded, hour, state.
constexpr std::string_view kSave = R"lua(
local hour = redis.call('HGET', KEYS[1], 'hour') or '0'
if hour ~= ARGV[1] then return redis.error_reply('YAGURA_JUDGED by another process') end
redis.call('HSET', KEYS[1], 'hour', ARGV[2], 'state', ARGV[3])
return 1
)lua";

// KEYS runs; ARGV now, how long nobody may have run, for how long all settle then; milliseconds.
constexpr std::string_view kRun = R"lua(
local seen = redis.call('HGET', KEYS[1], 'seen')
if not seen or tonumber(ARGV[1]) - tonumber(seen) > tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'settled', string.format('%.0f', ARGV[1] + ARGV[3]))
end
redis.call('HSET', KEYS[1], 'seen', ARGV[1])
return redis.call('HGET', KEYS[1], 'settled')
)lua";

constexpr std::string_view kRuns = "y:{observation}:detection:observation";

std::string Milliseconds(TimePoint time) {
  using std::chrono::milliseconds;
  return fmt::format("{}", std::chrono::floor<milliseconds>(time.time_since_epoch()).count());
}

TimePoint TimeOf(std::string_view milliseconds) {
  return TimePoint(std::chrono::milliseconds(ParseNumber<int64_t>(milliseconds).value_or(0)));
}

std::string KeyOf(const std::string& tenant) {
  return fmt::format("y:{{{}}}:detection:observation", tenant);
}

}  // namespace

ObservationStore::ObservationStore(std::shared_ptr<redis::Pool> state)
    : state_(std::move(state)), save_(kSave), run_(kRun) {}

absl::StatusOr<internal::v1::ObservationState> ObservationStore::Load(
    const std::string& tenant) const {
  const std::string key = KeyOf(tenant);
  YAGURA_ASSIGN_OR_RETURN(const auto reply, state_->Command({"HGET", key, "state"}));
  internal::v1::ObservationState state;
  if (!reply.text.empty() && !state.ParseFromString(reply.text)) {
    return Internal("the state of an observation cannot be read");
  }
  return state;
}

absl::Status ObservationStore::Save(const std::string& tenant, int64_t before,
                                    const internal::v1::ObservationState& after) const {
  const std::string key = KeyOf(tenant);
  const std::string from = fmt::format("{}", before);
  const std::string to = fmt::format("{}", after.last_hour());
  const std::string text = after.SerializeAsString();
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  return save_.Run(*connection, {key}, {from, to, text}).status();
}

absl::Status ObservationStore::Settle(const std::string& tenant, TimePoint until) const {
  const std::string key = KeyOf(tenant);
  const std::string text = Milliseconds(until);
  return state_->Command({"HSET", key, "settled", text}).status();
}

absl::StatusOr<TimePoint> ObservationStore::SettledAt(const std::string& tenant) const {
  const std::string key = KeyOf(tenant);
  YAGURA_ASSIGN_OR_RETURN(const auto reply, state_->Command({"HGET", key, "settled"}));
  return TimeOf(reply.text);
}

absl::StatusOr<TimePoint> ObservationStore::Run(TimePoint now, std::chrono::milliseconds gone,
                                                std::chrono::milliseconds settle) const {
  const std::string now_text = Milliseconds(now);
  const std::string gone_text = fmt::format("{}", gone.count());
  const std::string settle_text = fmt::format("{}", settle.count());
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  YAGURA_ASSIGN_OR_RETURN(const auto reply,
                          run_.Run(*connection, {kRuns}, {now_text, gone_text, settle_text}));
  return TimeOf(reply.text);
}

}  // namespace yagura::detection
