#include "services/directory/domain/grants.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/store/resource_name.h"

namespace yagura::directory {
namespace {

constexpr int kMaxGrants = 32;
constexpr int kMaxTenantsPerGrant = 1000;

bool IsPersonsRole(const std::string& role) {
  const auto& roles = auth::Roles();
  return role != "service" && std::find(roles.begin(), roles.end(), role) != roles.end();
}

bool IsAll(const v1::RoleGrant& grant) {
  return grant.tenants_size() == 1 && grant.tenants(0) == "*";
}

bool Covers(const auth::Grant& held, const auth::Grant& wanted) {
  if (held.role != wanted.role && held.role != "admin") return false;
  if (held.all_tenants) return true;
  if (wanted.all_tenants) return false;
  return std::all_of(wanted.tenants.begin(), wanted.tenants.end(),
                     [&held](const std::string& tenant) { return held.tenants.contains(tenant); });
}

}  // namespace

void CheckGrants(const RoleGrants& grants, std::string_view tenant, std::string_view field,
                 FieldErrors& errors) {
  if (grants.size() > kMaxGrants) errors.Add(field, fmt::format("at most {}", kMaxGrants));
  for (int i = 0; i < std::min(grants.size(), kMaxGrants); ++i) {
    const auto& grant = grants[i];
    const std::string path = fmt::format("{}[{}]", field, i);
    if (!IsPersonsRole(grant.role())) errors.Add(path + ".role", "is no role");
    if (grant.tenants_size() > kMaxTenantsPerGrant) {
      errors.Add(path + ".tenants", fmt::format("at most {}", kMaxTenantsPerGrant));
      continue;
    }
    for (const auto& extended : grant.tenants()) {
      if (extended == tenant) continue;
      if (tenant != kProvider) {
        errors.Add(path + ".tenants", "reaches only the own tenant outside \"provider\"");
        break;
      }
      if (!IsAll(grant) && !store::IsValidId(extended)) {
        errors.Add(path + ".tenants", "must be tenant ids, or \"*\" alone");
        break;
      }
    }
  }
}

std::vector<auth::Grant> ToAuthGrants(const RoleGrants& grants, std::string_view tenant) {
  std::vector<auth::Grant> out;
  for (const auto& grant : grants) {
    auth::Grant made;
    made.role = grant.role();
    if (tenant == kProvider) {
      made.all_tenants = IsAll(grant);
      if (!made.all_tenants) made.tenants.insert(grant.tenants().begin(), grant.tenants().end());
    }
    // Whatever is stored, a customer's user never reaches beyond the customer.
    if (!made.all_tenants && made.tenants.empty()) made.tenants.insert(std::string(tenant));
    out.push_back(std::move(made));
  }
  return out;
}

RoleGrants FromAuthGrants(const std::vector<auth::Grant>& grants) {
  RoleGrants out;
  for (const auto& grant : grants) {
    auto& made = *out.Add();
    made.set_role(grant.role);
    if (grant.all_tenants) made.add_tenants("*");
    for (const auto& tenant : grant.tenants) {
      if (!grant.all_tenants) made.add_tenants(tenant);
    }
  }
  return out;
}

absl::Status CheckCallerHolds(const auth::Principal& caller, const RoleGrants& grants,
                              std::string_view tenant) {
  for (const auto& wanted : ToAuthGrants(grants, tenant)) {
    const bool held = std::any_of(caller.grants.begin(), caller.grants.end(),
                                  [&wanted](const auth::Grant& g) { return Covers(g, wanted); });
    if (!held) {
      return MakeError(
          absl::StatusCode::kPermissionDenied, "GRANT_EXCEEDS_CALLER",
          fmt::format("the role \"{}\" over these tenants is not yours to give", wanted.role),
          {{"role", wanted.role}});
    }
  }
  return absl::OkStatus();
}

}  // namespace yagura::directory
