#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "services/reporting/domain/content.h"

namespace yagura::rpc {
class Channels;
}

namespace yagura::reporting {

// Asks the other services for all that the report of a month needs, in that tenant's name only.
// `progress` is told a number from 0 to 1. UNAVAILABLE where one of them cannot be reached.
absl::StatusOr<Evidence> Gather(rpc::Channels& channels, const std::string& tenant,
                                const std::string& month,
                                const std::function<void(double)>& progress);

// The tenant as the directory has it; NOT_FOUND.
absl::StatusOr<directory::v1::Tenant> GetTenant(rpc::Channels& channels, const std::string& tenant);

}  // namespace yagura::reporting
