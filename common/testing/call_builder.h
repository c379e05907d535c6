#pragma once

#include <chrono>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include "common/rpc/call.h"

namespace yagura::testing {

// A Call as the runtime would make it, for tests of handlers:
//
//   const rpc::Call call = CallBuilder("ticketing.tickets.get").Tenant("acme").Build();
//
// By default an engineer of the call's tenant, with half a minute to go.
class CallBuilder {
 public:
  explicit CallBuilder(std::string permission) {
    parts_.permission = std::move(permission);
    parts_.method = "/yagura.testing/" + parts_.permission;
    parts_.tenant = "acme";
    parts_.peer = "ipv4:127.0.0.1:50000";
    parts_.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  }
  // Id of one tenant, or "-" for all that the principal may see.
  CallBuilder& Tenant(std::string_view tenant) {
    parts_.tenant = tenant;
    return *this;
  }
  CallBuilder& Method(std::string_view method) {
    parts_.method = method;
    return *this;
  }
  // Adds a role over tenants; none given: over all.
  CallBuilder& Role(std::string_view role, std::set<std::string> tenants = {}) {
    const bool all = tenants.empty();
    parts_.principal.grants.push_back({std::string(role), all, std::move(tenants)});
    return *this;
  }
  CallBuilder& Name(std::string_view principal) {
    parts_.principal.name = principal;
    return *this;
  }
  CallBuilder& OnBehalfOf(std::string_view principal) {
    parts_.principal.on_behalf_of = principal;
    return *this;
  }
  CallBuilder& RequestId(std::string_view id, std::string_view digest = "digest") {
    parts_.request_id = id;
    parts_.request_digest = digest;
    return *this;
  }
  CallBuilder& Deadline(SteadyTime deadline) {
    parts_.deadline = deadline;
    return *this;
  }
  CallBuilder& Cancelled(std::stop_token token) {
    parts_.cancelled = std::move(token);
    return *this;
  }
  rpc::Call Build() const {
    rpc::Call::Parts parts = parts_;
    if (parts.principal.name.empty()) {
      parts.principal.name =
          "tenants/" + (parts.tenant == "-" ? "provider" : parts.tenant) + "/users/tester";
    }
    if (parts.principal.grants.empty()) {
      const bool all = parts.tenant == "-";
      parts.principal.grants.push_back(
          {"engineer", all, all ? std::set<std::string>{} : std::set<std::string>{parts.tenant}});
    }
    return rpc::Call(std::move(parts));
  }

 private:
  rpc::Call::Parts parts_;
};

}  // namespace yagura::testing
