#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "services/detection/domain/engine/matcher.h"

// Sigma rules as parsed from YAML, before they are put together into a rule set.
namespace yagura::detection {

// A boolean expression over tests of fields. A tree of values.
struct Expression {
  enum class Type {
    kAnd,
    kOr,
    kNot,
    kMatch,           // some value of `field` passes `matcher`
    kExists,          // the event has `field`
    kKeyword,         // the raw line or any field's value passes `matcher`
    kFieldReference,  // a value of `field` is, or has at `placement`, one of `other_field`
  };
  Type type = Type::kAnd;
  std::vector<Expression> children;
  std::string field;
  Matcher matcher;
  // Of a kFieldReference:
  std::string other_field;
  Matcher::Placement placement = Matcher::Placement::kWhole;
  bool cased = false;
};

struct Logsource {
  std::string product;
  std::string category;
  std::string service;
};

// What a finding tells about its rule.
struct RuleInfo {
  std::string id;    // UUID, lower case
  std::string name;  // Sigma's `name`, by which correlations refer to it; often empty
  std::string title;
  std::string description;
  std::vector<std::string> tags;  // lower case
  std::vector<std::string> false_positives;
  int severity = 3;  // yagura.event.v1.Severity
};

struct SingleRule {
  RuleInfo info;
  Logsource logsource;
  Expression logsource_test;  // on which events the condition is tried
  Expression condition;
  std::vector<std::string> fields;  // what the condition tests, each once
};

// event_count: at least `threshold` events of one group within `timespan`.
struct Correlation {
  RuleInfo info;
  std::vector<size_t> rules;          // which of the document's rules are counted
  std::vector<std::string> group_by;  // field names
  std::chrono::nanoseconds timespan{0};
  uint64_t threshold = 1;
  bool generate = false;  // the counted rules make findings of their own, too
};

// One rule text: a single-event rule, or a correlation with the rules it counts.
struct ParsedRule {
  std::vector<SingleRule> rules;
  std::optional<Correlation> correlation;
  std::string version;  // first 12 hex digits of the SHA-256 of the text

  const RuleInfo& info() const { return correlation ? correlation->info : rules.front().info; }
};

inline constexpr size_t kMaxRuleText = 512 * 1024;
inline constexpr uint64_t kMaxThreshold = 10'000;

// INVALID_ARGUMENT (RULE_REFUSED; metadata "line", from 1, 0 where it is about no line): nothing of
// a rule is ever ignored that would change what it matches. Bounded in size and depth.
// docs/sigma.md says point by point what is taken and what is refused. `placeholders` are for
// `expand`.
absl::StatusOr<ParsedRule> ParseSigma(std::string_view text, const Placeholders& placeholders = {});

}  // namespace yagura::detection
