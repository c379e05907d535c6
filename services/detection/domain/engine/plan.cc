#include "services/detection/domain/engine/plan.h"

#include <algorithm>

namespace yagura::detection {

Plan::Plan(const RuleSet& set, std::vector<Condition> conditions)
    : conditions_(std::move(conditions)), asks_((set.atoms().size() + 63) / 64, 0) {
  std::vector<bool> seen(set.node_count());
  for (uint32_t i = 0; i < conditions_.size(); ++i) {
    Visit(set, conditions_[i].root, seen);
    const auto& required = set.requirement(conditions_[i].root);
    if (!required.known) always_.push_back(i);
    for (const uint32_t atom : required.atoms) candidates_[atom].push_back(i);
  }
  std::sort(fields_.begin(), fields_.end());
  fields_.erase(std::unique(fields_.begin(), fields_.end()), fields_.end());
  std::sort(keywords_.begin(), keywords_.end());
}

void Plan::Visit(const RuleSet& set, uint32_t root, std::vector<bool>& seen) {
  std::vector<uint32_t> open = {root};
  while (!open.empty()) {
    const uint32_t number = open.back();
    open.pop_back();
    if (seen[number]) continue;
    seen[number] = true;
    const auto& node = set.node(number);
    switch (node.type) {
      case Expression::Type::kAnd:
      case Expression::Type::kOr:
      case Expression::Type::kNot: {
        const auto children = set.children(node);
        open.insert(open.end(), children.begin(), children.end());
        continue;
      }
      case Expression::Type::kKeyword:
        keywords_.push_back(node.atom);
        break;
      case Expression::Type::kFieldReference:
        references_.push_back(node.atom);
        break;
      case Expression::Type::kMatch:
      case Expression::Type::kExists:
        fields_.push_back(set.atoms()[node.atom].field);
        break;
    }
    asks_[node.atom / 64] |= 1ULL << (node.atom % 64);
  }
}

std::span<const uint32_t> Plan::Candidates(uint32_t atom) const {
  const auto found = candidates_.find(atom);
  return found == candidates_.end() ? std::span<const uint32_t>() : std::span(found->second);
}

size_t Plan::bytes() const {
  return conditions_.size() * sizeof(Condition) + asks_.size() * 8 + candidates_.size() * 80 +
         (fields_.size() + references_.size() + keywords_.size() + always_.size()) * 4;
}

}  // namespace yagura::detection
