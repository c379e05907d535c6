#include "services/detection/domain/rule_reach.h"

#include <algorithm>
#include <functional>

#include "fmt/format.h"

#include "common/text/printable.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/case_fold.h"
#include "services/detection/domain/tags.h"

namespace yagura::detection {
namespace {

constexpr int kMaxReasons = 6;
constexpr size_t kMaxReason = 300;
constexpr int kMaxLogsources = 8;
constexpr int kMaxMissing = 20;
constexpr size_t kShownFields = 8;

Truth Not(Truth truth) {
  if (truth == Truth::kUnknown) return truth;
  return truth == Truth::kTrue ? Truth::kFalse : Truth::kTrue;
}

// `of_leaf`: of a test that has no children.
template <typename OfLeaf>
Truth Evaluate(const Expression& expression, const OfLeaf& of_leaf) {
  switch (expression.type) {
    case Expression::Type::kAnd: {
      Truth all = Truth::kTrue;
      for (const auto& child : expression.children) all = std::min(all, Evaluate(child, of_leaf));
      return all;
    }
    case Expression::Type::kOr: {
      Truth any = Truth::kFalse;
      for (const auto& child : expression.children) any = std::max(any, Evaluate(child, of_leaf));
      return any;
    }
    case Expression::Type::kNot:
      return Not(Evaluate(expression.children.front(), of_leaf));
    default:
      return of_leaf(expression);
  }
}

const std::string* ValueOf(const EventShape& shape, std::string_view field) {
  if (field == "@product") return &shape.product;
  if (field == "@category") return &shape.category;
  if (field == "Channel") return &shape.channel;
  if (field == "EventID" || field == "@vendor_event_id") return &shape.vendor_id;
  return nullptr;
}

// Of a field that has that value; empty: that events lack.
Truth TestOf(const Expression& test, const std::string& value) {
  if (value.empty()) return Truth::kFalse;
  if (test.type == Expression::Type::kExists) return Truth::kTrue;
  if (test.type != Expression::Type::kMatch) return Truth::kUnknown;
  const std::string folded = FoldCase(value);
  return test.matcher.Matches({value, folded}) ? Truth::kTrue : Truth::kFalse;
}

void Say(std::string_view reason, v1::RuleCoverage& coverage) {
  if (coverage.reasons_size() < kMaxReasons) coverage.add_reasons(Printable(reason, kMaxReason));
}

class Judge {
 public:
  Judge(const ParsedRule& parsed, const std::map<std::string, SeenSource>& sources)
      : parsed_(parsed), sources_(sources) {}

  v1::RuleCoverage Run() {
    for (const auto& rule : parsed_.rules) levels_.push_back(LevelOf(rule));
    coverage_.set_level(parsed_.correlations.empty() ? levels_.front() : LevelOf(0));
    int listed = 0;
    for (const auto& field : missing_) {
      if (++listed <= kMaxMissing) coverage_.add_missing_fields(field);
    }
    const RuleInfo& info = parsed_.info();
    coverage_.set_title(info.title);
    coverage_.set_severity(static_cast<event::v1::Severity>(info.severity));
    for (const auto& tag : info.tags) {
      if (std::string technique = TechniqueOf(tag); !technique.empty()) {
        coverage_.add_attack_techniques(std::move(technique));
      }
    }
    return std::move(coverage_);
  }

 private:
  v1::RuleCoverageLevel LevelOf(const SingleRule& rule) {
    const std::string key = LogsourceKey(rule.logsource);
    auto* logsources = coverage_.mutable_logsources();
    const bool told = std::ranges::find(*logsources, key) != logsources->end();
    if (!told && logsources->size() < kMaxLogsources) *logsources->Add() = key;
    const auto found = sources_.find(key);
    if (found == sources_.end() || found->second.events == 0) {
      if (!told) Say(fmt::format("No event of {} came.", key), coverage_);
      return v1::NO_SOURCE;
    }
    const SeenSource& seen = found->second;
    coverage_.set_event_count(std::max(coverage_.event_count(), seen.events));
    if (!MayMatchProducts(rule.condition, seen)) {
      Say(fmt::format("{} events of {} came, but none of a product that it asks for.", seen.events,
                      key),
          coverage_);
      return v1::NO_SOURCE;
    }
    if (!seen.fields_known) {
      if (!told) Say(fmt::format("Which fields {} has was not looked at.", key), coverage_);
      return v1::COVERED;
    }
    std::set<std::string> missing;
    AddFields(rule.condition, missing);
    std::erase_if(missing, [&seen](const auto& field) { return seen.fields.contains(field); });
    missing_.insert(missing.begin(), missing.end());
    if (MayHold(rule.condition, seen.fields) != Truth::kFalse) {
      if (MayMatchKinds(rule.condition, seen)) return v1::COVERED;
      Say(fmt::format("{} events of {} came, but none whose product and category it asks for have "
                      "its fields, too.",
                      seen.events, key),
          coverage_);
      return v1::PARTLY_COVERED;
    }
    std::vector<std::string> shown(missing.begin(), missing.end());
    const bool more = shown.size() > kShownFields;
    if (more) shown.resize(kShownFields);
    Say(fmt::format("{} events of {} came, but none had {}{}, without which it cannot match.",
                    seen.events, key, Join(shown, ", "), more ? " and others" : ""),
        coverage_);
    return v1::PARTLY_COVERED;
  }

  // Whatever the fields and categories.
  static bool MayMatchProducts(const Expression& condition, const SeenSource& seen) {
    return seen.kinds.empty() || std::ranges::any_of(seen.kinds, [&](const EventKind& kind) {
             return Evaluate(condition, [&](const Expression& test) {
                      return test.field == "@product" ? TestOf(test, kind.product)
                                                      : Truth::kUnknown;
                    }) != Truth::kFalse;
           });
  }
  static bool MayMatchKinds(const Expression& condition, const SeenSource& seen) {
    return seen.kinds.empty() || std::ranges::any_of(seen.kinds, [&](const EventKind& kind) {
             return MayHold(condition, seen.fields, &kind) != Truth::kFalse;
           });
  }

  // Of a correlation.
  v1::RuleCoverageLevel LevelOf(size_t number) {
    const Correlation& correlation = parsed_.correlations[number];
    std::vector<v1::RuleCoverageLevel> members;
    for (const auto& member : correlation.members) {
      members.push_back(member.is_correlation ? LevelOf(member.index) : levels_[member.index]);
    }
    if (members.empty()) return v1::NO_SOURCE;
    std::ranges::sort(members, std::greater());
    const bool temporal = correlation.type == Correlation::Type::kTemporal ||
                          correlation.type == Correlation::Type::kTemporalOrdered;
    if (!temporal || !correlation.IsMonotone()) return members.front();
    // So many of them must match.
    const auto needed = std::clamp<uint64_t>(correlation.threshold(), 1, members.size());
    return members[needed - 1];
  }

  const ParsedRule& parsed_;
  const std::map<std::string, SeenSource>& sources_;
  v1::RuleCoverage coverage_;
  std::vector<v1::RuleCoverageLevel> levels_;  // of the single-event rules
  std::set<std::string> missing_;
};

}  // namespace

Truth IsOf(const Expression& logsource_test, const EventShape& shape) {
  return Evaluate(logsource_test, [&shape](const Expression& test) {
    const std::string* value = ValueOf(shape, test.field);
    return value == nullptr ? Truth::kUnknown : TestOf(test, *value);
  });
}

Truth MayHold(const Expression& condition, const std::set<std::string>& seen_fields,
              const EventKind* kind) {
  return Evaluate(condition, [&seen_fields, kind](const Expression& test) {
    if (test.type == Expression::Type::kKeyword) return Truth::kUnknown;
    if (kind != nullptr && test.field == "@product") return TestOf(test, kind->product);
    if (kind != nullptr && test.field == "@category") return TestOf(test, kind->category);
    if (!seen_fields.contains(test.field)) return Truth::kFalse;
    const bool refers = test.type == Expression::Type::kFieldReference;
    if (refers && !seen_fields.contains(test.other_field)) return Truth::kFalse;
    return Truth::kUnknown;
  });
}

void AddFields(const Expression& expression, std::set<std::string>& fields) {
  for (const auto& child : expression.children) AddFields(child, fields);
  if (!expression.field.empty()) fields.insert(expression.field);
  if (!expression.other_field.empty()) fields.insert(expression.other_field);
}

std::string LogsourceKey(const Logsource& logsource) {
  std::vector<std::string> parts;
  if (!logsource.product.empty()) parts.push_back("product: " + ToLower(logsource.product));
  if (!logsource.category.empty()) parts.push_back("category: " + ToLower(logsource.category));
  if (!logsource.service.empty()) parts.push_back("service: " + ToLower(logsource.service));
  return parts.empty() ? "any source" : Join(parts, ", ");
}

v1::RuleCoverage CoverageOf(const ParsedRule& parsed,
                            const std::map<std::string, SeenSource>& sources) {
  return Judge(parsed, sources).Run();
}

std::vector<v1::TechniqueCoverage> ByTechnique(const std::vector<v1::RuleCoverage>& rules) {
  std::map<std::string, v1::TechniqueCoverage> techniques;
  for (const auto& rule : rules) {
    std::set<std::string> of_rule(rule.attack_techniques().begin(), rule.attack_techniques().end());
    if (of_rule.empty()) of_rule.insert("");
    for (const auto& technique : of_rule) {
      auto& coverage = techniques[technique];
      coverage.set_technique(technique);
      coverage.set_level(std::max(coverage.level(), rule.level()));
      coverage.set_rule_count(coverage.rule_count() + 1);
      if (rule.level() == v1::COVERED) coverage.set_covered_count(coverage.covered_count() + 1);
      if (rule.level() == v1::PARTLY_COVERED)
        coverage.set_partly_count(coverage.partly_count() + 1);
      if (rule.level() == v1::NO_SOURCE) {
        coverage.set_no_source_count(coverage.no_source_count() + 1);
      }
    }
  }
  std::vector<v1::TechniqueCoverage> list;
  list.reserve(techniques.size());
  for (auto& [technique, coverage] : techniques) list.push_back(std::move(coverage));
  return list;
}

}  // namespace yagura::detection
