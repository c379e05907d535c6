#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/event/batch_codec.h"
#include "services/detection/domain/engine/batch_matcher.h"
#include "services/detection/domain/windows.h"

namespace yagura::cli {

// Rules of folders and files.
struct LoadedRules {
  std::shared_ptr<const detection::RuleSet> set;
  std::vector<std::string> refused;  // "path: line 3: reason"
};
// Reads the rule files of the paths (ForEachRuleFile, whose errors these are); of a file with
// several rules each. `placeholders` are for `expand`, by their ids.
absl::StatusOr<LoadedRules> LoadRules(const std::vector<std::string>& paths,
                                      const detection::Placeholders& placeholders = {});

// What the service detection does, in one thread and in memory: batches, matches, windows,
// findings.
class Detector {
 public:
  // `now`: when events were received that do not say so. `tenant`: whose the findings are.
  Detector(std::shared_ptr<const detection::RuleSet> rules, TimePoint now,
           std::string tenant = "local");

  // The event may go away afterwards.
  absl::Status Add(const event::EventView& event);
  // One that has been read before: what `event search -o jsonl` and `archive export` write.
  absl::Status Add(const event::v1::Event& event);
  // Matches what is left. Findings, the earliest first; once.
  absl::StatusOr<std::vector<detection::v1::Finding>> Finish();

  uint64_t events() const { return events_; }
  // Rule ids and how many events they matched; a correlation counts under the rules that it counts.
  const std::map<std::string, uint64_t>& matches() const { return matches_; }
  // These as lines for people, the most first.
  std::string MatchTable() const;

 private:
  event::BatchHeader NextHeader();
  absl::Status Added();
  absl::Status Flush();
  void Note(const std::vector<detection::Windows::Outcome>& outcomes);

  const std::string tenant_;
  const TimePoint now_;
  detection::BatchMatcher matcher_;
  detection::Windows windows_;
  uint64_t batches_ = 0;
  event::BatchBuilder builder_;
  uint64_t events_ = 0;
  std::map<std::string, uint64_t> matches_;
  std::map<std::string, std::string> titles_;  // by rule id
  std::map<std::string, detection::v1::Finding> findings_;
};

}  // namespace yagura::cli
