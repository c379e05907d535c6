#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace YAML {
class Node;
}

// Simple values of a Sigma text; anything else under their keys is refused (RULE_REFUSED).
namespace yagura::detection {

// Empty where the key is missing or null.
absl::StatusOr<std::string> OptionalText(const YAML::Node& map, const char* key, size_t limit);
// A text, or a list of at most `limit` texts.
absl::StatusOr<std::vector<std::string>> OptionalTexts(const YAML::Node& map, const char* key,
                                                       size_t limit);

}  // namespace yagura::detection
