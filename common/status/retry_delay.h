#pragma once

#include <chrono>
#include <optional>

#include "common/status/status.h"

namespace yagura {

// After how long a caller may try again, as WithRetryDelay said, rounded up to seconds; none where
// nobody said.
std::optional<std::chrono::seconds> RetryDelayOf(const Status& status);

}  // namespace yagura
