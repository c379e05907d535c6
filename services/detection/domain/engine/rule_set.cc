#include "services/detection/domain/engine/rule_set.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>

#include "fmt/format.h"

#include "common/digest/sha256.h"
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

bool IsAtom(Expression::Type type) {
  return type == Expression::Type::kMatch || type == Expression::Type::kExists ||
         type == Expression::Type::kKeyword || type == Expression::Type::kFieldReference;
}

}  // namespace

// Finds for each condition the tests to look it up by: those that seldom pass.
class RuleSet::RequirementFinder {
 public:
  explicit RequirementFinder(RuleSet& set) : set_(set), uses_(set.atoms_.size(), 0) {
    for (const auto& node : set.nodes_) {
      for (const uint32_t child : set.children(node)) {
        if (IsAtom(set.nodes_[child].type)) ++uses_[set.nodes_[child].atom];
      }
    }
  }

  void Add(uint32_t root) {
    if (set_.requirements_.contains(root)) return;
    Found found = Find(root);
    std::sort(found.atoms.begin(), found.atoms.end());
    found.atoms.erase(std::unique(found.atoms.begin(), found.atoms.end()), found.atoms.end());
    set_.requirements_[root] = {found.known, std::move(found.atoms)};
  }

 private:
  struct Found {
    bool known = false;
    uint64_t weight = 0;
    std::vector<uint32_t> atoms;
  };

  Found Find(uint32_t number) const {
    const Node& node = set_.nodes_[number];
    if (IsAtom(node.type)) return {true, Weight(node.atom), {node.atom}};
    if (node.type == Expression::Type::kNot) return {};
    Found found;
    if (node.type == Expression::Type::kOr) {
      found.known = true;
      for (const uint32_t child : set_.children(node)) {
        Found one = Find(child);
        if (!one.known) return {};
        found.weight += one.weight;
        found.atoms.insert(found.atoms.end(), one.atoms.begin(), one.atoms.end());
      }
      return found;
    }
    for (const uint32_t child : set_.children(node)) {
      Found one = Find(child);
      if (one.known && (!found.known || one.weight < found.weight)) found = std::move(one);
    }
    return found;
  }

  // How often a test may be expected to pass: what many rules ask for (powershell.exe) is common.
  uint64_t Weight(uint32_t number) const {
    const Atom& atom = set_.atoms_[number];
    const uint64_t uses = uses_[number];
    switch (atom.type) {
      case Expression::Type::kExists:
        return 10'000 + uses;
      case Expression::Type::kKeyword:
        return 50 + uses;
      case Expression::Type::kFieldReference:
        return 200 + uses;
      default:
        break;
    }
    switch (atom.matcher.kind()) {
      case Matcher::Kind::kEquals:
        // Numbers and flags ("4624", "true") say little.
        return (atom.matcher.text().size() < 6 ? 40 : 4) + uses;
      case Matcher::Kind::kStartsWith:
      case Matcher::Kind::kEndsWith:
      case Matcher::Kind::kContains:
        if (atom.matcher.text().size() < 3) return 200 + uses;
        return (atom.matcher.text().size() < 6 ? 20 : 4) + uses;
      case Matcher::Kind::kGlob:
      case Matcher::Kind::kRegex:
        return (atom.matcher.RequiredLiterals().empty() ? 100 : 10) + uses;
      default:
        return 100 + uses;
    }
  }

  RuleSet& set_;
  std::vector<uint32_t> uses_;  // by atom
};

class RuleSet::Builder {
 public:
  explicit Builder(RuleSet& set) : set_(set) {}

  void AddEntry(size_t index) {
    const Entry& entry = set_.entries_[index];
    const ParsedRule& parsed = *entry.rule;
    for (size_t i = 0; i < parsed.rules.size(); ++i) {
      const SingleRule& rule = parsed.rules[i];
      if (!entry.tenant.empty()) NumberTenant(entry.tenant);
      for (const auto& tenant : entry.except) NumberTenant(tenant);
      const auto [same, is_new] = targets_.try_emplace(&rule, set_.targets_.size());
      if (!is_new) {  // the same rule for another tenant
        Target again = set_.targets_[same->second];
        again.entry = index;
        SourceOf(rule).targets.push_back(static_cast<uint32_t>(set_.targets_.size()));
        set_.targets_.push_back(std::move(again));
        continue;
      }
      Target target;
      target.entry = index;
      target.rule = i;
      for (const auto& use : parsed.uses[i]) target.uses.push_back(ByNumbers(use));
      target.makes_findings = parsed.MakesFindings(i);
      for (const auto& field : rule.fields) target.matched_fields.push_back(FieldNumber(field));
      target.root = AddNode(rule.condition);
      SourceOf(rule).targets.push_back(static_cast<uint32_t>(set_.targets_.size()));
      set_.targets_.push_back(std::move(target));
    }
  }

  void NumberTenant(const std::string& tenant) {
    set_.tenant_numbers_.try_emplace(tenant,
                                     static_cast<uint32_t>(set_.tenant_numbers_.size() + 1));
  }

  // After the last entry.
  void Finish() {
    std::vector<std::vector<FieldIndex::Test>> tests(set_.fields_.size());
    for (uint32_t i = 0; i < set_.atoms_.size(); ++i) {
      const Atom& atom = set_.atoms_[i];
      if (atom.type == Expression::Type::kExists) tests[atom.field].push_back({i, nullptr});
      if (atom.type == Expression::Type::kMatch) tests[atom.field].push_back({i, &atom.matcher});
    }
    for (const auto& of_field : tests) {
      set_.indexes_.push_back(of_field.empty() ? nullptr : std::make_unique<FieldIndex>(of_field));
    }
    RequirementFinder finder(set_);
    for (const auto& target : set_.targets_) finder.Add(target.root);
    for (const auto& source : set_.sources_) finder.Add(source.root);
  }

 private:
  std::vector<UseLevel> ByNumbers(const CorrelationUse& use) {
    std::vector<UseLevel> levels;
    for (const auto& level : use.levels) {
      UseLevel one{level.correlation, level.member, {}, {}};
      for (const auto& field : level.group_by) one.group_fields.push_back(FieldNumber(field));
      for (const auto& field : level.fields) one.value_fields.push_back(FieldNumber(field));
      levels.push_back(std::move(one));
    }
    return levels;
  }

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
      if (field.core) set_.core_fields_.push_back(found->second);
      if (!field.original.empty()) {
        set_.fields_by_original_[field.original].push_back(found->second);
      }
      set_.fields_.push_back(std::move(field));
    }
    return found->second;
  }

  RuleSet& set_;
  std::unordered_map<const SingleRule*, size_t> targets_;
  std::map<std::string, size_t> source_numbers_;
  StringMap<uint32_t> node_numbers_;
  StringMap<uint32_t> atom_numbers_;
  StringMap<uint32_t> field_numbers_;
};

uint32_t RuleSet::tenant_number(std::string_view tenant) const {
  const auto found = tenant_numbers_.find(tenant);
  return found == tenant_numbers_.end() ? 0 : found->second;
}

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
  builder.Finish();
  set->version_ = Sha256Hex(identity).substr(0, 12);
  return set;
}

}  // namespace yagura::detection
