#include "services/detection/domain/engine/plan.h"

#include <algorithm>

namespace yagura::detection {

Plan::Plan(const RuleSet& set, std::vector<Condition> conditions)
    : conditions_(std::move(conditions)), asks_((set.atoms().size() + 63) / 64, 0) {
  std::vector<uint64_t> seen((set.node_count() + 63) / 64, 0);
  std::vector<const RuleSet::Requirement*> required;
  required.reserve(conditions_.size());
  // By atom: how many candidates it has, then where the next of them goes.
  std::vector<uint32_t> next(set.atoms().size(), 0);
  for (uint32_t i = 0; i < conditions_.size(); ++i) {
    Visit(set, conditions_[i].root, seen);
    required.push_back(&set.requirement(conditions_[i].root));
    if (!required.back()->known) always_.push_back(i);
    for (const uint32_t atom : required.back()->atoms) ++next[atom];
  }
  uint32_t end = 0;
  for (uint32_t atom = 0; atom < next.size(); ++atom) {
    if (next[atom] == 0) continue;
    keys_.push_back(atom);
    first_.push_back(end);
    end += next[atom];
    next[atom] = first_.back();
  }
  first_.push_back(end);
  candidates_.resize(end);
  for (uint32_t i = 0; i < conditions_.size(); ++i) {
    for (const uint32_t atom : required[i]->atoms) candidates_[next[atom]++] = i;
  }
  std::sort(fields_.begin(), fields_.end());
  fields_.erase(std::unique(fields_.begin(), fields_.end()), fields_.end());
  std::sort(keywords_.begin(), keywords_.end());
}

void Plan::Visit(const RuleSet& set, uint32_t root, std::vector<uint64_t>& seen) {
  std::vector<uint32_t> open = {root};
  while (!open.empty()) {
    const uint32_t number = open.back();
    open.pop_back();
    const uint64_t bit = uint64_t{1} << (number % 64);
    if ((seen[number / 64] & bit) != 0) continue;
    seen[number / 64] |= bit;
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
  const auto found = std::lower_bound(keys_.begin(), keys_.end(), atom);
  if (found == keys_.end() || *found != atom) return {};
  const auto at = static_cast<size_t>(found - keys_.begin());
  return std::span(candidates_).subspan(first_[at], first_[at + 1] - first_[at]);
}

size_t Plan::bytes() const {
  return conditions_.size() * sizeof(Condition) + asks_.size() * 8 +
         (keys_.capacity() + first_.capacity() + candidates_.size()) * 4 +
         (fields_.size() + references_.size() + keywords_.size() + always_.size()) * 4;
}

}  // namespace yagura::detection
