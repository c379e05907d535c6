#include "services/notification/storage/holders.h"

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"

namespace yagura::notification {
namespace {

std::string KeyOf(std::string_view holder) {
  return fmt::format("y:{{provider}}:notification:holder:{}", holder);
}

}  // namespace

Holders::Holders(std::shared_ptr<redis::Pool> state, std::string self)
    : state_(std::move(state)), self_(std::move(self)) {}

absl::Status Holders::Renew() {
  return state_->Command({"SET", KeyOf(self_), "1", "PX", "5000"}).status();
}

absl::Status Holders::Release() { return state_->Command({"DEL", KeyOf(self_)}).status(); }

absl::StatusOr<bool> Holders::IsAlive(std::string_view holder) const {
  YAGURA_ASSIGN_OR_RETURN(const auto reply, state_->Command({"EXISTS", KeyOf(holder)}));
  return reply.integer == 1;
}

}  // namespace yagura::notification
