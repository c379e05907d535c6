#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"

#include "common/rpc/channels.h"

namespace yagura::ticketing {

// Asks the directory whether `user` ("tenants/acme/users/alice") may work: OK; NOT_FOUND;
// FAILED_PRECONDITION (USER_DISABLED); UNAVAILABLE where the directory does not answer in time.
absl::Status LookUpUser(rpc::Channels& channels, const std::string& user);

}  // namespace yagura::ticketing
