#include "services/notification/storage/holders.h"

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/redis/script.h"
#include "common/status/status.h"

namespace yagura::notification {
namespace {

std::string KeyOf(std::string_view holder) {
  return fmt::format("y:{{provider}}:notification:holder:{}", holder);
}

std::string InstanceKeyOf(std::string_view instance) {
  return fmt::format("y:{{provider}}:notification:holder-of:{}", instance);
}

constexpr std::string_view kLifetime = "5000";

// KEYS own key, instance; ARGV self, lifetime, "1" to take the instance over, prefix of keys.
constexpr std::string_view kRenew = R"lua(
local now = redis.call('GET', KEYS[2])
if now ~= ARGV[1] then
  if ARGV[3] ~= '1' then return 0 end
  if now then redis.call('DEL', ARGV[4] .. now) end
  redis.call('SET', KEYS[2], ARGV[1])
end
redis.call('SET', KEYS[1], '1', 'PX', ARGV[2])
return 1)lua";

}  // namespace

Holders::Holders(std::shared_ptr<redis::Pool> state, std::string self, std::string instance)
    : state_(std::move(state)), self_(std::move(self)), instance_(std::move(instance)) {}

absl::Status Holders::Renew() {
  const std::string key = KeyOf(self_);
  if (instance_.empty()) return state_->Command({"SET", key, "1", "PX", kLifetime}).status();
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  YAGURA_ASSIGN_OR_RETURN(
      const auto reply,
      redis::Script(kRenew).Run(*connection, {key, InstanceKeyOf(instance_)},
                                {self_, kLifetime, in_office_ ? "0" : "1", KeyOf("")}));
  if (reply.integer == 0) {
    return MakeError(absl::StatusCode::kAborted, "SUPERSEDED",
                     fmt::format("another process runs as \"{}\"", instance_));
  }
  in_office_ = true;
  return absl::OkStatus();
}

absl::Status Holders::Release() { return state_->Command({"DEL", KeyOf(self_)}).status(); }

absl::StatusOr<bool> Holders::IsAlive(std::string_view holder) const {
  YAGURA_ASSIGN_OR_RETURN(const auto reply, state_->Command({"EXISTS", KeyOf(holder)}));
  return reply.integer == 1;
}

}  // namespace yagura::notification
