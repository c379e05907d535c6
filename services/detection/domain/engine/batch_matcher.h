#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/event/batch_codec.h"
#include "services/detection/domain/engine/rule_set.h"

namespace yagura::detection {

// One event that one rule matched.
struct Match {
  uint32_t row;     // index of the event in its batch
  uint32_t target;  // index in RuleSet::targets()

  auto operator<=>(const Match&) const = default;
};

// Finds the matches of a rule set in batches, column by column: a test is made once per distinct
// value, and only where the events' logsource calls for a rule that asks for it. One thread's;
// keeps its memory between batches.
class BatchMatcher {
 public:
  explicit BatchMatcher(std::shared_ptr<const RuleSet> rules);
  ~BatchMatcher();

  // Matches in order of events, then of targets. INVALID_ARGUMENT (BAD_BATCH) for a broken batch.
  absl::StatusOr<std::vector<Match>> Run(event::BatchReader& batch);

  // The first value that the event has for a field of the set, as text; empty where it has none.
  // Valid for the batch of the last Run, while its reader lives.
  absl::StatusOr<std::string_view> Value(uint32_t field, size_t row);

  const RuleSet& rules() const { return *rules_; }
  const std::shared_ptr<const RuleSet>& shared_rules() const { return rules_; }

 private:
  struct Impl;
  std::shared_ptr<const RuleSet> rules_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace yagura::detection
