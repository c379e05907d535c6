#pragma once

#include <string>

#include "absl/status/statusor.h"

#include "services/config/transport/device_session.h"

namespace yagura::config {

// Opens a TCP connection; the descriptor is the caller's and does not block. Unacknowledged data
// ends it after `dead_after`. UNAVAILABLE (DEVICE_UNREACHABLE), DEADLINE_EXCEEDED, CANCELLED.
absl::StatusOr<int> OpenTcp(const std::string& address, int port, const Patience& patience,
                            std::chrono::milliseconds dead_after);

}  // namespace yagura::config
