#pragma once

#include <stop_token>
#include <string>
#include <string_view>

#include "common/auth/principal.h"
#include "common/clock/clock.h"
#include "common/store/store.h"

namespace yagura::rpc {

// What a handler knows of the call that it answers. By the time it runs, the caller is
// authenticated, holds the method's permission in `tenant`, and every resource reference of the
// request lies there.
class Call {
 public:
  struct Parts {
    auth::Principal principal;
    std::string method;      // "/yagura.ticketing.v1.TicketingService/GetTicket"
    std::string permission;  // of the method; "PUBLIC" where it needs none
    std::string tenant;      // id; "-" for all that the principal may see; empty for PUBLIC methods
    std::string peer;        // "ipv4:127.0.0.1:50000"
    SteadyTime deadline;
    std::stop_token cancelled;
    std::string request_id;      // of the request's `request_id` field, empty where it has none
    std::string request_digest;  // SHA-256 of the request, where it has a request_id
  };
  explicit Call(Parts parts) : parts_(std::move(parts)) {}

  const auth::Principal& principal() const { return parts_.principal; }
  const std::string& method() const { return parts_.method; }
  const std::string& tenant() const { return parts_.tenant; }
  const std::string& peer() const { return parts_.peer; }
  bool all_tenants() const { return parts_.tenant == "-"; }
  // Tenants that this call may see: one, or for "tenants/-" the principal's own set.
  auth::TenantSet scope() const;
  SteadyTime deadline() const { return parts_.deadline; }
  // Requested when the client went away or the deadline passed.
  const std::stop_token& cancelled() const { return parts_.cancelled; }

  // For writes of this call. `detail` goes to the audit record.
  store::WriteContext write_context(std::string_view detail = {}) const;

 private:
  Parts parts_;
};

}  // namespace yagura::rpc
