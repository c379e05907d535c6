#pragma once

#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/repeated_field.h"

#include "common/auth/principal.h"
#include "common/status/status.h"
#include "yagura/directory/v1/user.pb.h"

namespace yagura::directory {

inline constexpr std::string_view kProvider = "provider";
inline constexpr std::string_view kQuarantine = "quarantine";

using RoleGrants = google::protobuf::RepeatedPtrField<v1::RoleGrant>;

// Whether grants may stand on a user or key of `tenant`: known roles, and outside the provider the
// own tenant alone. `field` is their path in the request.
void CheckGrants(const RoleGrants& grants, std::string_view tenant, std::string_view field,
                 FieldErrors& errors);

// What a token says. Without tenants a grant extends to the own one.
std::vector<auth::Grant> ToAuthGrants(const RoleGrants& grants, std::string_view tenant);
RoleGrants FromAuthGrants(const std::vector<auth::Grant>& grants);

// Nobody gives away what they do not hold: each grant must be covered by the same role, or by
// "admin", of the caller. PERMISSION_DENIED (GRANT_EXCEEDS_CALLER).
absl::Status CheckCallerHolds(const auth::Principal& caller, const RoleGrants& grants,
                              std::string_view tenant);

}  // namespace yagura::directory
