#include "common/store/known_tenants.h"

#include <string>

#include "common/redis/pool.h"
#include "common/store/keys.h"

namespace yagura::store {

bool KnownTenants::Exists(std::string_view tenant) const {
  {
    const std::lock_guard lock(mutex_);
    if (seen_.contains(tenant)) return true;
  }
  Kind kind;
  kind.area = "directory";
  kind.kind = "tenant";
  const auto reply = state_->Command({"EXISTS", DataKey(kind, tenant, "")});
  if (!reply.ok()) return true;
  if (reply->integer == 0) return false;
  const std::lock_guard lock(mutex_);
  seen_.emplace(tenant);
  return true;
}

}  // namespace yagura::store
