#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "services/detection/domain/engine/sigma_rule.h"

namespace yagura::detection {

using Selections = std::vector<std::pair<std::string, Expression>>;

// Sigma's condition language: and, or, not, parentheses, `1 of x*`, `all of x*`, `1 of them`, `all
// of them`; names beginning with "_" do not belong to `them`. INVALID_ARGUMENT with a plain reason.
absl::StatusOr<Expression> ParseCondition(std::string_view text, const Selections& selections);

}  // namespace yagura::detection
