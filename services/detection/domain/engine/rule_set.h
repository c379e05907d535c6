#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/event/batch_codec.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/field_index.h"
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
    std::vector<std::string> except;  // tenants that it is not for, in order

    bool IsFor(std::string_view of) const {
      if (!tenant.empty()) return tenant == of;
      return !std::binary_search(except.begin(), except.end(), of);
    }
  };
  // CorrelationUse::Level by field numbers.
  struct UseLevel {
    size_t correlation = 0;  // index in ParsedRule::correlations
    uint32_t member = 0;
    std::vector<uint32_t> group_fields;
    std::vector<uint32_t> value_fields;
  };
  // One single-event rule of an entry, as the matcher reports it.
  struct Target {
    size_t entry = 0;
    size_t rule = 0;                          // index in ParsedRule::rules
    bool makes_findings = false;              // each match is a finding
    uint32_t root = 0;                        // node of the condition
    std::vector<std::vector<UseLevel>> uses;  // ParsedRule::uses of the rule, by field numbers
    std::vector<uint32_t> matched_fields;     // what the condition tests
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

  // What the rules have become, for BatchMatcher.

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
  // Tests of which one at least passes wherever a condition holds. Not `known`: the condition may
  // hold where no test passes.
  struct Requirement {
    bool known = false;
    std::vector<uint32_t> atoms;
  };

  const std::vector<Field>& fields() const { return fields_; }
  // Numbers of the fields whose values are, or may be, in that original field.
  std::span<const uint32_t> FieldsOf(std::string_view original) const {
    const auto found = fields_by_original_.find(original);
    return found == fields_by_original_.end() ? std::span<const uint32_t>()
                                              : std::span(found->second);
  }
  // Numbers of the fields whose values may be in a core column.
  const std::vector<uint32_t>& core_fields() const { return core_fields_; }
  const std::vector<Atom>& atoms() const { return atoms_; }
  size_t node_count() const { return nodes_.size(); }
  const Node& node(uint32_t number) const { return nodes_[number]; }
  std::span<const uint32_t> children(const Node& node) const {
    return std::span(links_).subspan(node.first, node.count);
  }
  const std::vector<Source>& sources() const { return sources_; }
  // Of the root of a target or source.
  const Requirement& requirement(uint32_t root) const { return requirements_.at(root); }
  // Of all tests of a field's values; null where there are none.
  const FieldIndex* index(uint32_t field) const { return indexes_[field].get(); }
  // 0 for a tenant to whom the rules for all apply and no others.
  uint32_t tenant_number(std::string_view tenant) const;

 private:
  class Builder;
  class RequirementFinder;

  std::vector<Entry> entries_;
  std::vector<Target> targets_;
  std::vector<Field> fields_;
  StringMap<std::vector<uint32_t>> fields_by_original_;
  std::vector<uint32_t> core_fields_;
  std::vector<Atom> atoms_;
  std::vector<Node> nodes_;
  std::vector<uint32_t> links_;
  std::vector<Source> sources_;
  std::unordered_map<uint32_t, Requirement> requirements_;
  std::vector<std::unique_ptr<FieldIndex>> indexes_;  // by field
  StringMap<uint32_t> tenant_numbers_;
  std::string version_;
};

}  // namespace yagura::detection
