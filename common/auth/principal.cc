#include "common/auth/principal.h"

namespace yagura::auth {

bool Grant::Covers(std::string_view tenant) const {
  return all_tenants || tenants.contains(std::string(tenant));
}

bool TenantSet::Contains(std::string_view tenant) const {
  return all || tenants.contains(std::string(tenant));
}

TenantSet Principal::TenantsFor(std::string_view permission) const {
  TenantSet set;
  if (is_service() && !ServiceMayPassOn(permission)) return set;
  for (const Grant& grant : grants) {
    if (!RoleGrants(grant.role, permission)) continue;
    if (grant.all_tenants) set.all = true;
    set.tenants.insert(grant.tenants.begin(), grant.tenants.end());
  }
  if (set.all) set.tenants.clear();
  return set;
}

bool Principal::Allows(std::string_view permission, std::string_view tenant) const {
  if (is_service() && !ServiceMayPassOn(permission)) return false;
  for (const Grant& grant : grants) {
    if (grant.Covers(tenant) && RoleGrants(grant.role, permission)) return true;
  }
  return false;
}

}  // namespace yagura::auth
