#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock/clock.h"

namespace yagura::auth {

// A role over a set of tenants.
struct Grant {
  std::string role;               // one of Roles()
  bool all_tenants = false;       // staff of the provider
  std::set<std::string> tenants;  // ids, where not all

  bool Covers(std::string_view tenant) const;
};

// Which tenants a permission extends to.
struct TenantSet {
  bool all = false;
  std::set<std::string> tenants;

  bool Contains(std::string_view tenant) const;
  bool empty() const { return !all && tenants.empty(); }
};

// Who calls. Made by the Authenticator, immutable afterwards.
struct Principal {
  std::string name;  // "tenants/provider/users/alice", ".../apiKeys/k1", "services/detection"
  std::vector<Grant> grants;
  // For a service: on whose behalf; its grants are then the intersection of both.
  std::string on_behalf_of;
  TimePoint expires{};
  // When it showed who it is (the beginning of the log-in), to the microsecond.
  TimePoint issued{};

  // Tenants in which the principal holds a role that grants `permission`.
  TenantSet TenantsFor(std::string_view permission) const;
  bool Allows(std::string_view permission, std::string_view tenant) const;
  bool is_service() const { return name.rfind("services/", 0) == 0; }
};

// viewer, analyst, engineer, approver, on-call, customer-viewer, customer-approver, collector
// (pushes events and does nothing else), admin, and "service" for internal calls.
const std::vector<std::string>& Roles();
// Whether a role grants a permission ("ticketing.tickets.update"). Unknown roles grant nothing.
bool RoleGrants(std::string_view role, std::string_view permission);
// Whether a service may use a right of the caller on whose behalf it acts.
bool ServiceMayPassOn(std::string_view permission);

}  // namespace yagura::auth
