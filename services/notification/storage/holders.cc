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

// KEYS own key, instance; ARGV self, lifetime, own term ("0": take the instance over), prefix of
// keys. The instance's key is "<term> <holder>"; a term is later than that of the process before,
// in microseconds. Releases before wrote the holder alone. Gives the own term, 0: superseded.
constexpr std::string_view kRenew = R"lua(
local value = redis.call('GET', KEYS[2])
local term, holder = 0, value
if value then
  local t, h = string.match(value, '^(%d+) (.+)$')
  if t then term, holder = tonumber(t), h end
end
local own = tonumber(ARGV[3])
if own == 0 then
  local time = redis.call('TIME')
  own = math.max(time[1] * 1000000 + time[2], term + 1)
elseif holder ~= ARGV[1] and term > own then
  return 0
end
if holder ~= ARGV[1] or term ~= own then
  if holder and holder ~= ARGV[1] then redis.call('DEL', ARGV[4] .. holder) end
  redis.call('SET', KEYS[2], string.format('%.0f %s', own, ARGV[1]))
end
redis.call('SET', KEYS[1], '1', 'PX', ARGV[2])
return own)lua";

absl::Status Superseded(std::string_view instance) {
  return MakeError(absl::StatusCode::kAborted, "SUPERSEDED",
                   fmt::format("another process runs as \"{}\"", instance));
}

}  // namespace

Holders::Holders(std::shared_ptr<redis::Pool> state, std::string self, std::string instance)
    : state_(std::move(state)), self_(std::move(self)), instance_(std::move(instance)) {}

absl::Status Holders::Renew() {
  const std::string key = KeyOf(self_);
  if (instance_.empty()) return state_->Command({"SET", key, "1", "PX", kLifetime}).status();
  // Remembered, as the successor's key may be lost too.
  if (superseded_) return Superseded(instance_);
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  YAGURA_ASSIGN_OR_RETURN(
      const auto reply,
      redis::Script(kRenew).Run(*connection, {key, InstanceKeyOf(instance_)},
                                {self_, kLifetime, std::to_string(term_), KeyOf("")}));
  if (reply.integer == 0) {
    superseded_ = true;
    return Superseded(instance_);
  }
  term_ = reply.integer;
  return absl::OkStatus();
}

absl::Status Holders::Release() { return state_->Command({"DEL", KeyOf(self_)}).status(); }

absl::StatusOr<bool> Holders::IsAlive(std::string_view holder) const {
  YAGURA_ASSIGN_OR_RETURN(const auto reply, state_->Command({"EXISTS", KeyOf(holder)}));
  return reply.integer == 1;
}

}  // namespace yagura::notification
