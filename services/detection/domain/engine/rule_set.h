#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/event/batch_codec.h"
#include "services/detection/domain/engine/sigma_rule.h"

namespace yagura::detection {

// All rules in force, put together so that a test that many rules share is one test. Immutable and
// thread-safe: one set serves every thread; BatchMatcher holds what changes.
class RuleSet {
 public:
  // A rule and whom it is for.
  struct Entry {
    std::string tenant;  // tenant id; empty: all tenants
    std::shared_ptr<const ParsedRule> rule;
  };
  // One single-event rule of an entry, as the matcher reports it.
  struct Target {
    size_t entry = 0;
    size_t rule = 0;                       // index in ParsedRule::rules
    bool makes_findings = false;           // each match is a finding
    bool counted = false;                  // by the entry's correlation
    uint32_t root = 0;                     // node of the condition
    std::vector<uint32_t> group_fields;    // of the correlation's group-by, in its order
    std::vector<uint32_t> matched_fields;  // what the condition tests
  };

  static std::shared_ptr<const RuleSet> Build(std::vector<Entry> entries);

  const std::vector<Entry>& entries() const { return entries_; }
  const std::vector<Target>& targets() const { return targets_; }
  const ParsedRule& rule(const Target& target) const { return *entries_[target.entry].rule; }
  // Changes when any rule does: 12 hex digits.
  const std::string& version() const { return version_; }
  // The Sigma name of a field by its number.
  const std::string& field_name(uint32_t field) const { return fields_[field].name; }
  size_t atom_count() const { return atoms_.size(); }

 private:
  friend class BatchMatcher;
  class Builder;

  // Where the values of a Sigma field name come from.
  struct Field {
    std::string name;
    std::string original;  // empty: core only
    std::optional<event::Core> core;
  };
  struct Atom {
    Expression::Type type;  // kMatch, kExists, kKeyword or kFieldReference
    uint32_t field = 0;
    Matcher matcher;
    // Of a kFieldReference:
    uint32_t other = 0;
    Matcher::Placement placement = Matcher::Placement::kWhole;
    bool cased = false;
  };
  // Children are links_[first, first + count).
  struct Node {
    Expression::Type type;
    uint32_t first = 0;
    uint32_t count = 0;
    uint32_t atom = 0;
  };
  struct Source {
    uint32_t root = 0;
    std::vector<uint32_t> targets;
  };

  std::vector<Entry> entries_;
  std::vector<Target> targets_;
  std::vector<Field> fields_;
  std::vector<Atom> atoms_;
  std::vector<Node> nodes_;
  std::vector<uint32_t> links_;
  std::vector<Source> sources_;
  std::string version_;
};

}  // namespace yagura::detection
