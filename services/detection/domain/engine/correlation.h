#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "services/detection/domain/engine/sigma_rule.h"

namespace YAML {
class Node;
}

namespace yagura::detection {

// Reads the correlations of a text into `parsed`, whose single-event rules are there already: the
// outermost first, and how each rule is counted. `documents` have a `correlation` each; `infos` are
// what they say of themselves. RULE_REFUSED as of ParseSigma.
absl::Status ParseCorrelations(const std::vector<YAML::Node>& documents,
                               std::vector<RuleInfo> infos, ParsedRule& parsed);

// Sets numbers that the customer agreed to instead of the text's: RULE_REFUSED where the
// correlation could not keep them.
struct CorrelationParameters {
  std::optional<double> count;  // takes the place of the value of the only comparison
  std::optional<std::chrono::nanoseconds> timespan;
};
absl::Status SetParameters(const CorrelationParameters& parameters, Correlation& correlation);

}  // namespace yagura::detection
