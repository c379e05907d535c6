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

// What a matcher did since it was made.
struct MatchCounts {
  uint64_t events = 0;
  uint64_t evaluated = 0;       // events that no earlier one had told the answer of
  uint64_t values = 0;          // distinct values of batches that were asked for
  uint64_t values_decided = 0;  // of these, put to the rules' tests: not remembered
  uint64_t forgotten = 0;       // how often the memory was full
  size_t memory_bytes = 0;      // of what is remembered now
};

// Finds the matches of a rule set in batches, column by column. An event's logsource says which
// conditions are tried. A value is put to all tests of its field once and the tests that it passes
// are remembered; so is what events that pass the same tests matched. Of conditions only those are
// evaluated that need a test which passed. One thread's; keeps its memory between batches.
class BatchMatcher {
 public:
  static constexpr size_t kMemory = 16 << 20;

  // `memory`: about how many bytes are remembered before all is forgotten.
  explicit BatchMatcher(std::shared_ptr<const RuleSet> rules, size_t memory = kMemory);
  ~BatchMatcher();

  // Matches in order of events, then of targets. INVALID_ARGUMENT (BAD_BATCH) for a broken batch.
  absl::StatusOr<std::vector<Match>> Run(event::BatchReader& batch);

  // The first value that the event has for a field of the set, as text; empty where it has none.
  // Valid for the batch of the last Run, while its reader lives.
  absl::StatusOr<std::string_view> Value(uint32_t field, size_t row);

  // The fields with whose values the match's condition holds, by their numbers, in the order of the
  // rule; those that it tests at all where it holds by their absence alone. A match of the last
  // Run, while its reader lives.
  absl::StatusOr<std::vector<uint32_t>> MatchedFields(const Match& match);

  // By event of the last Run: how many conditions its values made candidates, that is evaluated
  // unless their answer was remembered.
  const std::vector<uint32_t>& candidates() const;
  MatchCounts counts() const;

  const RuleSet& rules() const { return *rules_; }
  const std::shared_ptr<const RuleSet>& shared_rules() const { return rules_; }

 private:
  struct Impl;
  std::shared_ptr<const RuleSet> rules_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace yagura::detection
