#pragma once

#include "absl/status/statusor.h"

#include "services/detection/domain/engine/sigma_rule.h"

namespace YAML {
class Node;
}

namespace yagura::detection {

// An error about a place in a rule's text (RULE_REFUSED, metadata "line"). `node` may be undefined.
absl::Status RefuseAt(const YAML::Node& node, std::string_view reason);

// One entry of `detection`: a map of fields, a list of such maps, or keywords. `budget` bounds the
// number of values over the whole rule.
absl::StatusOr<Expression> ParseSelection(const YAML::Node& node, int& budget);

}  // namespace yagura::detection
