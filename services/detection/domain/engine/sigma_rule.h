#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "services/detection/domain/engine/matcher.h"
#include "services/detection/domain/engine/rule_limits.h"

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

// What is measured over the events of a group that the rules it refers to matched within a time
// span.
struct Correlation {
  enum class Type {
    kEventCount,       // how many events
    kValueCount,       // how many different values of `fields`
    kValueSum,         // the sum of the field
    kValueAverage,     // the average of the field
    kValuePercentile,  // a percentile of the field, or each value's share in percent
    kTemporal,         // how many of the rules matched
    kTemporalOrdered,  // how many of the rules matched in their order
  };
  struct Comparison {
    enum class Operator { kGt, kGte, kLt, kLte, kEq, kNeq };
    Operator op = Operator::kGte;
    double value = 0;

    bool Holds(double measure) const;
  };
  // A rule that it refers to.
  struct Member {
    bool is_correlation = false;
    size_t index = 0;  // in ParsedRule::correlations or ::rules
  };
  // A name in `group_by` or `fields` that stands for another field in each rule.
  struct Alias {
    std::string name;
    std::vector<std::pair<std::string, std::string>> fields;  // by name or id of a rule
  };

  RuleInfo info;
  Type type = Type::kEventCount;
  std::vector<Member> members;        // in the order of the text
  std::vector<std::string> group_by;  // field names or aliases
  std::vector<Alias> aliases;
  std::vector<std::string> fields;     // what is measured, of the types that measure a field
  std::vector<Comparison> conditions;  // all must hold
  std::optional<double> percentile;    // of kValuePercentile; none: the share of each value
  std::chrono::nanoseconds timespan{0};
  bool generate = false;        // the rules that it refers to make findings of their own, too
  std::optional<size_t> outer;  // the correlation of the same text that refers to this one
  uint32_t outer_member = 0;    // which of its members this one is

  // Whether further events can only bring it about: then it is decided while its window grows,
  // else when the window has ended.
  bool IsMonotone() const;
  // The least count that satisfies a monotone condition of a type that counts.
  uint64_t threshold() const;
};

// That a single-event rule is counted by a correlation, and by those that count this one.
struct CorrelationUse {
  struct Level {
    size_t correlation = 0;
    uint32_t member = 0;                // which of its members
    std::vector<std::string> group_by;  // field names, aliases resolved
    std::vector<std::string> fields;
  };
  std::vector<Level> levels;  // the correlation that names the rule first
};

struct ParsedRule;

// What events must pass, too, for rules that it names.
struct SigmaFilter {
  RuleInfo info;
  Logsource logsource;             // of the rules; what is empty is any
  bool any_rule = false;           // "rules: any"
  std::vector<std::string> rules;  // ids in lower case, or names
  Expression condition;
  std::vector<std::string> fields;

  // Whether any single-event rule of the text is one of those.
  bool AppliesTo(const ParsedRule& parsed) const;
  // Narrows those rules: (condition) and (filter's condition).
  void ApplyTo(ParsedRule& parsed) const;
  bool Names(const SingleRule& rule) const;
};

// One rule text: a single-event rule, or correlations with the rules that they refer to; or a
// filter.
struct ParsedRule {
  std::vector<SingleRule> rules;
  std::optional<SigmaFilter> filter;
  std::vector<Correlation> correlations;          // the outermost first
  std::vector<std::vector<CorrelationUse>> uses;  // of each of `rules`
  std::string version;                            // first 12 hex digits of the SHA-256 of the text
  std::vector<std::string> placeholders;          // that it names, each once, in order
  bool untold = false;  // its findings are told nobody: on trial, or muted

  const RuleInfo& info() const {
    if (filter) return filter->info;
    return correlations.empty() ? rules.front().info : correlations.front().info;
  }
  // Whether matches of a single-event rule are findings.
  bool MakesFindings(size_t rule) const;
  // Whether matches of a correlation are findings.
  bool CorrelationMakesFindings(size_t correlation) const;
};

inline constexpr uint64_t kMaxThreshold = 10'000;
inline constexpr size_t kMaxCorrelationRules = 32;

// INVALID_ARGUMENT (RULE_REFUSED; metadata "line", from 1, 0 where it is about no line): nothing of
// a rule is ever ignored that would change what it matches. Bounded in size and depth.
// docs/sigma.md says point by point what is taken and what is refused. `placeholders` are for
// `expand`.
absl::StatusOr<ParsedRule> ParseSigma(std::string_view text, const Placeholders& placeholders = {});

}  // namespace yagura::detection
