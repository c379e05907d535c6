#include "services/detection/storage/observation_store.h"

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"

namespace yagura::detection {
namespace {

// KEYS state; ARGV hour as loaded, hour, state.
constexpr std::string_view kSave = R"lua(
local hour = redis.call('HGET', KEYS[1], 'hour') or '0'
if hour ~= ARGV[1] then return redis.error_reply('YAGURA_JUDGED by another process') end
redis.call('HSET', KEYS[1], 'hour', ARGV[2], 'state', ARGV[3])
return 1
)lua";

std::string KeyOf(const std::string& tenant) {
  return fmt::format("y:{{{}}}:detection:observation", tenant);
}

}  // namespace

ObservationStore::ObservationStore(std::shared_ptr<redis::Pool> state)
    : state_(std::move(state)), save_(kSave) {}

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

}  // namespace yagura::detection
