#pragma once

#include "absl/status/statusor.h"

#include "services/detection/domain/engine/sigma_rule.h"

namespace yagura::detection {

// Which events a rule of this logsource looks at, as a test of core columns (field "@product") and
// original fields. For Windows the channel and event ids that carry a category or service;
// otherwise `product` is a part of the event's "vendor.product", `category` and `service` its
// category, program or application. INVALID_ARGUMENT for a Windows category or service that is not
// known: such a rule could never match.
absl::StatusOr<Expression> LogsourceTest(const Logsource& logsource);

}  // namespace yagura::detection
