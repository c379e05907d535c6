#pragma once

#include "absl/status/statusor.h"

#include "common/text/text.h"
#include "services/detection/domain/engine/sigma_rule.h"

namespace YAML {
class Node;
}

namespace yagura::detection {

// An error about a place in a rule's text (RULE_REFUSED, metadata "line"). `node` may be undefined.
absl::Status RefuseAt(const YAML::Node& node, std::string_view reason);

// YAML forbids a key that stands twice; its reader here would see one of them, or both.
absl::Status RefuseRepeatedKeys(const YAML::Node& map);

// What the selections of one text share.
struct SelectionContext {
  const Placeholders& placeholders;
  int budget;                    // how many values there may be yet
  StringSet used = {};           // names of placeholders that were looked for
  size_t regex_budget = 16'384;  // how large regular expressions may be yet, together
};

// One entry of `detection`: a map of fields, a list of such maps, or keywords.
absl::StatusOr<Expression> ParseSelection(const YAML::Node& node, SelectionContext& context);

}  // namespace yagura::detection
