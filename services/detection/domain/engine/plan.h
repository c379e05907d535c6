#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "services/detection/domain/engine/rule_set.h"

namespace yagura::detection {

// Conditions that are tried on the same events: all that a tenant's events of some logsources call
// for. Says what to read of an event, and which conditions a set of passed tests may fulfil.
class Plan {
 public:
  struct Condition {
    uint32_t root;  // node
    uint32_t id;    // what is told where it holds
  };

  Plan(const RuleSet& set, std::vector<Condition> conditions);

  const std::vector<Condition>& conditions() const { return conditions_; }
  // Fields of which values are tested.
  const std::vector<uint32_t>& fields() const { return fields_; }
  // Atoms that take more than one field's values.
  const std::vector<uint32_t>& references() const { return references_; }
  const std::vector<uint32_t>& keywords() const { return keywords_; }
  bool Asks(uint32_t atom) const { return (asks_[atom / 64] >> (atom % 64) & 1) != 0; }
  // Indexes of conditions that may hold where this test passes.
  std::span<const uint32_t> Candidates(uint32_t atom) const;
  // Indexes of conditions that may hold where no test passes.
  const std::vector<uint32_t>& always() const { return always_; }
  size_t bytes() const;

 private:
  void Visit(const RuleSet& set, uint32_t root, std::vector<uint64_t>& seen);

  std::vector<Condition> conditions_;
  std::vector<uint32_t> fields_;
  std::vector<uint32_t> references_;
  std::vector<uint32_t> keywords_;
  std::vector<uint64_t> asks_;  // bit by atom
  // Of the atom keys_[i]: candidates_[first_[i], first_[i + 1]).
  std::vector<uint32_t> keys_;
  std::vector<uint32_t> first_;
  std::vector<uint32_t> candidates_;
  std::vector<uint32_t> always_;
};

}  // namespace yagura::detection
