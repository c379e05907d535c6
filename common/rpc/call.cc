#include "common/rpc/call.h"

namespace yagura::rpc {

auth::TenantSet Call::scope() const {
  if (parts_.tenant.empty()) return {};
  if (all_tenants()) return parts_.principal.TenantsFor(parts_.permission);
  auth::TenantSet set;
  set.tenants.insert(parts_.tenant);
  return set;
}

store::WriteContext Call::write_context(std::string_view detail) const {
  store::WriteContext context;
  context.principal = parts_.principal.name;
  context.on_behalf_of = parts_.principal.on_behalf_of;
  context.method = parts_.method;
  context.request_id = parts_.request_id;
  context.request_digest = parts_.request_digest;
  context.detail = std::string(detail);
  return context;
}

}  // namespace yagura::rpc
