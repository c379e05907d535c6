#pragma once

#include <string_view>

#include "common/status/status.h"

namespace yagura {

// The error as a client may see it: code, reason and details stay, and the message tells nothing
// of addresses inside of the suite or of Redis's scripts, which are the log's. `redis` is what a
// Redis is called there ("the flow Redis").
Status WithoutInsides(const Status& status, std::string_view redis = "Redis");

}  // namespace yagura
