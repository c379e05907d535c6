#include "services/detection/domain/engine/rule_set.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "fmt/format.h"

#include "common/event/alias.h"
#include "common/text/text.h"

namespace yagura::detection {
namespace {

// A rough price, so that a conjunction asks the cheap questions first.
int CostOf(const Expression& expression) {
  switch (expression.type) {
    case Expression::Type::kMatch:
      return expression.matcher.cost();
    case Expression::Type::kExists:
      return 0;
    case Expression::Type::kFieldReference:
      return 20;
    case Expression::Type::kKeyword:
      return 1000;
    default:
      break;
  }
  int cost = 1;
  for (const auto& child : expression.children) cost = std::min(cost + CostOf(child), 1'000'000);
  return cost;
}

}  // namespace

class RuleSet::Builder {
 public:
  explicit Builder(RuleSet& set) : set_(set) {}

  void AddEntry(size_t index) {
    const Entry& entry = set_.entries_[index];
    const ParsedRule& parsed = *entry.rule;
    for (size_t i = 0; i < parsed.rules.size(); ++i) {
      const SingleRule& rule = parsed.rules[i];
      Target target;
      target.entry = index;
      target.rule = i;
      if (parsed.correlation) {
        const auto& counted = parsed.correlation->rules;
        target.counted = std::find(counted.begin(), counted.end(), i) != counted.end();
        for (const auto& field : parsed.correlation->group_by) {
          target.group_fields.push_back(FieldNumber(field));
        }
      }
      target.makes_findings = !parsed.correlation || parsed.correlation->generate;
      for (const auto& field : rule.fields) target.matched_fields.push_back(FieldNumber(field));
      target.root = AddNode(rule.condition);
      SourceOf(rule).targets.push_back(static_cast<uint32_t>(set_.targets_.size()));
      set_.targets_.push_back(std::move(target));
    }
  }

 private:
  Source& SourceOf(const SingleRule& rule) {
    const std::string key = ToLower(fmt::format("{}\n{}\n{}", rule.logsource.product,
                                                rule.logsource.category, rule.logsource.service));
    const auto [found, is_new] = source_numbers_.try_emplace(key, set_.sources_.size());
    if (is_new) {
      const uint32_t root = AddNode(rule.logsource_test);
      set_.sources_.push_back({root, {}});
    }
    return set_.sources_[found->second];
  }

  // Two occurrences of the same expression are the same node.
  uint32_t AddNode(const Expression& expression) {
    Node node{expression.type, 0, 0, 0};
    std::string key = fmt::format("{}:", static_cast<int>(expression.type));
    std::vector<uint32_t> children;
    if (IsAtom(expression.type)) {
      node.atom = AtomNumber(expression);
      key += fmt::format("a{}", node.atom);
    } else {
      std::vector<const Expression*> ordered;
      for (const auto& child : expression.children) ordered.push_back(&child);
      std::stable_sort(ordered.begin(), ordered.end(),
                       [](const auto* a, const auto* b) { return CostOf(*a) < CostOf(*b); });
      for (const auto* child : ordered) {
        children.push_back(AddNode(*child));
        key += fmt::format("{},", children.back());
      }
    }
    const auto [found, is_new] =
        node_numbers_.try_emplace(key, static_cast<uint32_t>(set_.nodes_.size()));
    if (is_new) {
      node.first = static_cast<uint32_t>(set_.links_.size());
      node.count = static_cast<uint32_t>(children.size());
      set_.links_.insert(set_.links_.end(), children.begin(), children.end());
      set_.nodes_.push_back(node);
    }
    return found->second;
  }

  static bool IsAtom(Expression::Type type) {
    return type == Expression::Type::kMatch || type == Expression::Type::kExists ||
           type == Expression::Type::kKeyword || type == Expression::Type::kFieldReference;
  }

  uint32_t AtomNumber(const Expression& expression) {
    Atom atom;
    atom.type = expression.type;
    std::string key = fmt::format("{} ", static_cast<int>(expression.type));
    if (expression.type != Expression::Type::kKeyword) {
      atom.field = FieldNumber(expression.field);
      key += fmt::format("{} ", atom.field);
    }
    if (expression.type == Expression::Type::kFieldReference) {
      atom.other = FieldNumber(expression.other_field);
      atom.placement = expression.placement;
      atom.cased = expression.cased;
      key += fmt::format("{} {} {}", atom.other, static_cast<int>(atom.placement), atom.cased);
    } else {
      atom.matcher = expression.matcher;
      key += atom.matcher.Key();
    }
    const auto [found, is_new] =
        atom_numbers_.try_emplace(key, static_cast<uint32_t>(set_.atoms_.size()));
    if (is_new) set_.atoms_.push_back(std::move(atom));
    return found->second;
  }

  uint32_t FieldNumber(const std::string& name) {
    const auto [found, is_new] =
        field_numbers_.try_emplace(name, static_cast<uint32_t>(set_.fields_.size()));
    if (is_new) {
      Field field{name, "", std::nullopt};
      if (name.starts_with('@') && event::CoreByName(name.substr(1))) {
        field.core = event::CoreByName(name.substr(1));
      } else {
        const auto resolved = event::ResolveSigmaName(name);
        field.original = resolved.original;
        field.core = resolved.core;
      }
      set_.fields_.push_back(std::move(field));
    }
    return found->second;
  }

  RuleSet& set_;
  std::map<std::string, size_t> source_numbers_;
  StringMap<uint32_t> node_numbers_;
  StringMap<uint32_t> atom_numbers_;
  StringMap<uint32_t> field_numbers_;
};

std::shared_ptr<const RuleSet> RuleSet::Build(std::vector<Entry> entries) {
  // The order must not matter to the version, nor to which finding comes first.
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.rule->info().id, a.tenant) < std::tie(b.rule->info().id, b.tenant);
  });
  auto set = std::make_shared<RuleSet>();
  set->entries_ = std::move(entries);
  Builder builder(*set);
  std::string identity;
  for (size_t i = 0; i < set->entries_.size(); ++i) {
    const Entry& entry = set->entries_[i];
    identity += fmt::format("{} {} {}\n", entry.tenant, entry.rule->info().id, entry.rule->version);
    builder.AddEntry(i);
  }
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(identity.data()), identity.size(), digest.data());
  set->version_ =
      HexEncode({reinterpret_cast<const char*>(digest.data()), digest.size()}).substr(0, 12);
  return set;
}

}  // namespace yagura::detection
