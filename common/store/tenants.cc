#include <algorithm>

#include "common/redis/pool.h"
#include "common/redis/script.h"
#include "common/status/status.h"
#include "common/store/keys.h"
#include "common/store/resource_name.h"
#include "common/store/store.h"

namespace yagura::store {

absl::Status RegisterTenant(redis::Pool& state, std::string_view tenant) {
  if (!IsValidId(tenant)) return InvalidField("tenant", "is not a tenant id");
  // The stream wakes feed followers; they read the set itself.
  const redis::Script script(R"lua(
    if redis.call('SADD', KEYS[1], ARGV[1]) == 1 then
      redis.call('XADD', KEYS[2], 'MAXLEN', '16', '*', 't', ARGV[1])
    end
    return 1)lua");
  YAGURA_ASSIGN_OR_RETURN(auto lease, state.Acquire());
  return script.Run(*lease, {kTenantsKey, kTenantsFeedKey}, {tenant}).status();
}

absl::StatusOr<std::vector<std::string>> ListTenants(redis::Pool& state) {
  YAGURA_ASSIGN_OR_RETURN(auto reply, state.Command({"SMEMBERS", kTenantsKey}));
  std::vector<std::string> tenants;
  tenants.reserve(reply.items.size());
  for (auto& item : reply.items) tenants.push_back(std::move(item.text));
  std::sort(tenants.begin(), tenants.end());
  return tenants;
}

}  // namespace yagura::store
