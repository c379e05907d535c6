#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "services/detection/domain/engine/sigma_rule.h"

// Filters (AIP-160, common/filter) over stored events that let archive leave out what a question
// cannot be about.
namespace yagura::detection {

// In double quotes; wildcards and all else mean themselves.
std::string QuoteFilterText(std::string_view text);

// A filter that every event passes on which the expression holds; "" for all events. Only tests of
// texts are told to archive, as a logsource makes them. Of several original fields of one name
// archive looks at the first alone.
std::string FilterOf(const Expression& expression);

// Events that are of one of the rules' log sources; "" for all events.
std::string LogsourceFilter(const std::vector<SingleRule>& rules);

// All must hold; empty ones do not count.
std::string JoinFilters(const std::vector<std::string>& filters);

}  // namespace yagura::detection
