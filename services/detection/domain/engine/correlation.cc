#include "services/detection/domain/engine/correlation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "fmt/format.h"
#include "yaml-cpp/yaml.h"

#include "common/status/status.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/selection.h"
#include "services/detection/domain/engine/yaml_text.h"

namespace yagura::detection {
namespace {

using Type = Correlation::Type;
using Comparison = Correlation::Comparison;
using Operator = Comparison::Operator;

constexpr size_t kMaxGroupBy = 8;
constexpr size_t kMaxFields = 8;
constexpr size_t kMaxAliases = 16;
constexpr int kMaxDepth = 8;
constexpr size_t kMaxUses = 64;
constexpr std::chrono::hours kLongestTimespan{31 * 24};

constexpr std::array<std::pair<std::string_view, Type>, 7> kTypes = {{
    {"event_count", Type::kEventCount},
    {"value_count", Type::kValueCount},
    {"value_sum", Type::kValueSum},
    {"value_avg", Type::kValueAverage},
    {"value_percentile", Type::kValuePercentile},
    {"temporal", Type::kTemporal},
    {"temporal_ordered", Type::kTemporalOrdered},
}};
constexpr std::array<std::pair<std::string_view, Operator>, 6> kOperators = {{
    {"gt", Operator::kGt},
    {"gte", Operator::kGte},
    {"lt", Operator::kLt},
    {"lte", Operator::kLte},
    {"eq", Operator::kEq},
    {"neq", Operator::kNeq},
}};

bool IsTemporal(Type type) { return type == Type::kTemporal || type == Type::kTemporalOrdered; }
bool Counts(Type type) {
  return type == Type::kEventCount || type == Type::kValueCount || IsTemporal(type);
}

absl::StatusOr<std::chrono::nanoseconds> ParseTimespan(const YAML::Node& map) {
  const YAML::Node node = map["timespan"];
  const std::string text = node.IsDefined() && node.IsScalar() ? node.Scalar() : std::string();
  const auto amount =
      ParseNumber<int64_t>(std::string_view(text).substr(0, text.empty() ? 0 : text.size() - 1));
  const std::map<char, int64_t> units = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
  const auto unit = units.find(text.empty() ? '?' : text.back());
  const int64_t longest = std::chrono::seconds(kLongestTimespan).count();
  if (!amount || unit == units.end() || *amount < 1 || *amount > longest ||
      *amount * unit->second > longest) {
    return RefuseAt(node.IsDefined() ? node : map,
                    "timespan is not a number with s, m, h or d, of at most 31 days");
  }
  return std::chrono::seconds(*amount * unit->second);
}

// Whether some measure can satisfy all comparisons of a type that counts.
bool CanHold(const Correlation& correlation) {
  const uint64_t most = IsTemporal(correlation.type) ? correlation.members.size() : kMaxThreshold;
  for (uint64_t count = 1; count <= most; ++count) {
    const auto holds = [count](const Comparison& one) {
      return one.Holds(static_cast<double>(count));
    };
    if (std::ranges::all_of(correlation.conditions, holds)) return true;
  }
  return false;
}

Status CheckConditions(const YAML::Node& node, const Correlation& correlation) {
  if (correlation.conditions.empty()) {
    return RefuseAt(node,
                    "correlation: condition compares with nothing: gt, gte, lt, lte, eq, neq");
  }
  for (const auto& one : correlation.conditions) {
    if (!Counts(correlation.type)) continue;
    const bool whole = one.value == std::floor(one.value) && one.value >= 0;
    if (!whole || one.value >= static_cast<double>(kMaxThreshold) ||
        (one.op == Operator::kGte && one.value == 0)) {
      return RefuseAt(node,
                      fmt::format("correlation: not a number from 1 to {}", kMaxThreshold - 1));
    }
  }
  if (Counts(correlation.type) && !CanHold(correlation)) {
    return RefuseAt(node,
                    "correlation: the condition never holds, as a window begins with an event");
  }
  if (correlation.type == Type::kTemporalOrdered && !correlation.IsMonotone()) {
    return RefuseAt(node,
                    "correlation: temporal_ordered takes gt and gte alone: what did not come "
                    "has no order");
  }
  return absl::OkStatus();
}

Status ParseCondition(const YAML::Node& map, Correlation& correlation) {
  const YAML::Node node = map["condition"];
  if (!node.IsDefined() && IsTemporal(correlation.type)) {
    correlation.conditions = {{Operator::kGte, static_cast<double>(correlation.members.size())}};
    return absl::OkStatus();
  }
  if (!node.IsDefined() || !node.IsMap()) {
    return RefuseAt(node.IsDefined() ? node : map, "correlation: condition is not a map");
  }
  const bool takes_field = !Counts(correlation.type) || correlation.type == Type::kValueCount;
  for (const auto& entry : node) {
    const std::string& key = entry.first.Scalar();
    if (key == "field" && takes_field) {
      YAGURA_ASSIGN_OR_RETURN(correlation.fields, OptionalTexts(node, "field", kMaxFields));
      continue;
    }
    const auto value =
        entry.second.IsScalar() ? ParseNumber<double>(entry.second.Scalar()) : std::nullopt;
    if (!value || !std::isfinite(*value)) {
      return RefuseAt(entry.second, fmt::format("correlation: {} is not a number", key));
    }
    if (key == "percentile" && correlation.type == Type::kValuePercentile) {
      if (*value < 0 || *value > 100) {
        return RefuseAt(entry.second, "correlation: percentile is not from 0 to 100");
      }
      correlation.percentile = *value;
      continue;
    }
    const auto* op = std::ranges::find(kOperators, key, [](const auto& one) { return one.first; });
    if (op == kOperators.end()) {
      return RefuseAt(entry.first, fmt::format("correlation: condition \"{}\" is not known", key));
    }
    for (const auto& other : correlation.conditions) {
      if (other.op == op->second) {
        return RefuseAt(entry.first, fmt::format("correlation: \"{}\" stands twice", key));
      }
    }
    correlation.conditions.push_back({op->second, *value});
  }
  if (takes_field && correlation.fields.empty()) {
    return RefuseAt(node, "correlation: condition names no field");
  }
  if (correlation.fields.size() > 1 && correlation.type != Type::kValueCount) {
    return RefuseAt(node, "correlation: only value_count takes several fields");
  }
  return CheckConditions(node, correlation);
}

Status ParseAliases(const YAML::Node& map, Correlation& correlation) {
  const YAML::Node node = map["aliases"];
  if (!node.IsDefined() || node.IsNull()) return absl::OkStatus();
  if (!node.IsMap() || node.size() > kMaxAliases) {
    return RefuseAt(node,
                    fmt::format("correlation: aliases is not a map of at most {}", kMaxAliases));
  }
  for (const auto& entry : node) {
    Correlation::Alias alias{entry.first.Scalar(), {}};
    if (!entry.second.IsMap() || entry.second.size() > kMaxCorrelationRules) {
      return RefuseAt(entry.second, fmt::format("correlation: alias \"{}\" is not a map of a field "
                                                "for each rule",
                                                alias.name));
    }
    for (const auto& field : entry.second) {
      if (!field.second.IsScalar() || field.second.Scalar().empty()) {
        return RefuseAt(field.second,
                        fmt::format("correlation: alias \"{}\": a field is not text", alias.name));
      }
      alias.fields.emplace_back(field.first.Scalar(), field.second.Scalar());
    }
    correlation.aliases.push_back(std::move(alias));
  }
  return absl::OkStatus();
}

Status CheckKeys(const YAML::Node& node) {
  constexpr std::array<std::string_view, 7> kKeys = {
      "type", "rules", "group-by", "timespan", "condition", "generate", "aliases"};
  for (const auto& entry : node) {
    const std::string& key = entry.first.Scalar();
    if (std::ranges::find(kKeys, key) == kKeys.end()) {
      return RefuseAt(entry.first, fmt::format("correlation: \"{}\" is not supported", key));
    }
  }
  return absl::OkStatus();
}

bool IsNamed(const RuleInfo& info, const std::string& name) {
  return info.id == ToLower(name) || (!name.empty() && info.name == name);
}

// Why a name is not that of one rule of the text.
std::string NoSuchMember(const ParsedRule& parsed, size_t self, const std::string& name,
                         const std::vector<Correlation::Member>& found) {
  const RuleInfo& info = parsed.correlations[self].info;
  if (found.size() > 1) {
    return fmt::format("correlation \"{}\": the text has more than one rule \"{}\"", info.title,
                       name);
  }
  if (IsNamed(info, name)) {
    return fmt::format("correlation \"{}\" refers to itself", info.title);
  }
  return fmt::format(
      "correlation \"{}\": the text has no rule \"{}\"; what a correlation refers to stands in the "
      "same file, separated by \"---\", under that name or id",
      info.title, name);
}

Status FindMembers(const YAML::Node& node, const ParsedRule& parsed, size_t self,
                   Correlation& correlation) {
  YAGURA_ASSIGN_OR_RETURN(const auto names, OptionalTexts(node, "rules", kMaxCorrelationRules));
  for (const auto& name : names) {
    std::vector<Correlation::Member> found;
    for (size_t i = 0; i < parsed.rules.size(); ++i) {
      if (IsNamed(parsed.rules[i].info, name)) found.push_back({false, i});
    }
    for (size_t i = 0; i < parsed.correlations.size(); ++i) {
      if (i != self && IsNamed(parsed.correlations[i].info, name)) found.push_back({true, i});
    }
    if (found.size() != 1) return RefuseAt(node["rules"], NoSuchMember(parsed, self, name, found));
    correlation.members.push_back(found.front());
  }
  if (correlation.members.empty()) return RefuseAt(node, "correlation: rules is missing");
  return absl::OkStatus();
}

Status ParseOne(const YAML::Node& document, size_t self, ParsedRule& parsed) {
  Correlation& correlation = parsed.correlations[self];
  const YAML::Node node = document["correlation"];
  if (!node.IsMap()) return RefuseAt(node, "correlation is not a map");
  YAGURA_RETURN_IF_ERROR(CheckKeys(node));
  YAGURA_ASSIGN_OR_RETURN(const std::string type, OptionalText(node, "type", 64));
  const auto* known = std::ranges::find(kTypes, type, [](const auto& one) { return one.first; });
  if (known == kTypes.end()) {
    return RefuseAt(node["type"].IsDefined() ? node["type"] : node,
                    fmt::format("correlation type \"{}\" is not known", type));
  }
  correlation.type = known->second;
  YAGURA_RETURN_IF_ERROR(FindMembers(node, parsed, self, correlation));
  YAGURA_ASSIGN_OR_RETURN(correlation.group_by, OptionalTexts(node, "group-by", kMaxGroupBy));
  YAGURA_ASSIGN_OR_RETURN(correlation.timespan, ParseTimespan(node));
  YAGURA_RETURN_IF_ERROR(ParseAliases(node, correlation));
  YAGURA_RETURN_IF_ERROR(ParseCondition(node, correlation));
  YAGURA_ASSIGN_OR_RETURN(const std::string generate, OptionalText(node, "generate", 8));
  if (!generate.empty() && generate != "true" && generate != "false") {
    return RefuseAt(node["generate"], "correlation: generate is neither true nor false");
  }
  correlation.generate = generate == "true";
  return absl::OkStatus();
}

Status RefuseCircles(const std::vector<YAML::Node>& documents,
                     const std::vector<Correlation>& all) {
  std::optional<size_t> too_deep;
  for (size_t i = 0; i < all.size(); ++i) {
    int depth = 0;
    std::string path = fmt::format("\"{}\"", all[i].info.title);
    for (auto at = all[i].outer; at && depth <= kMaxDepth; at = all[*at].outer) {
      ++depth;
      path = fmt::format("\"{}\" -> {}", all[*at].info.title, path);
      if (*at != i) continue;
      return RefuseAt(documents[i],
                      fmt::format("correlations refer to each other in a circle: {}", path));
    }
    if (depth >= kMaxDepth) too_deep = i;
  }
  if (!too_deep) return absl::OkStatus();
  return RefuseAt(documents[*too_deep],
                  fmt::format("correlation \"{}\" is referred to by more than {} others, each by "
                              "the next",
                              all[*too_deep].info.title, kMaxDepth - 1));
}

// Puts the outermost first, and says of each other one which counts it.
Status OrderCorrelations(const std::vector<YAML::Node>& documents, ParsedRule& parsed) {
  auto& all = parsed.correlations;
  std::optional<size_t> outermost;
  for (size_t i = 0; i < all.size(); ++i) {
    for (size_t m = 0; m < all[i].members.size(); ++m) {
      if (!all[i].members[m].is_correlation) continue;
      Correlation& inner = all[all[i].members[m].index];
      if (inner.outer) {
        return RefuseAt(documents[i], "a correlation is referred to by more than one");
      }
      inner.outer = i;
      inner.outer_member = static_cast<uint32_t>(m);
    }
  }
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].outer) continue;
    if (outermost) return RefuseAt(documents[i], "more than one correlation in one text");
    outermost = i;
  }
  YAGURA_RETURN_IF_ERROR(RefuseCircles(documents, all));
  if (*outermost == 0) return absl::OkStatus();
  const auto swapped = [&outermost](size_t index) {
    if (index == 0) return *outermost;
    return index == *outermost ? 0 : index;
  };
  std::swap(all[0], all[*outermost]);
  for (auto& correlation : all) {
    if (correlation.outer) correlation.outer = swapped(*correlation.outer);
    for (auto& member : correlation.members) {
      if (member.is_correlation) member.index = swapped(member.index);
    }
  }
  return absl::OkStatus();
}

// The field that a name stands for in the events of a rule: by the aliases of the correlation that
// uses it, then of those between it and the rule.
absl::StatusOr<std::string> ResolveName(const ParsedRule& parsed, const SingleRule& rule,
                                        const std::vector<size_t>& path, size_t level,
                                        const std::string& name) {
  for (size_t at = level + 1; at-- > 0;) {
    const auto& aliases = parsed.correlations[path[at]].aliases;
    const auto alias = std::ranges::find(aliases, name, &Correlation::Alias::name);
    if (alias == aliases.end()) continue;
    for (const auto& [key, field] : alias->fields) {
      if (IsNamed(rule.info, key)) return field;
      for (size_t below = 0; below < at; ++below) {
        if (IsNamed(parsed.correlations[path[below]].info, key)) return field;
      }
    }
    return RefuseAt(YAML::Node(),
                    fmt::format("correlation: alias \"{}\" has no field for rule \"{}\"", name,
                                rule.info.title));
  }
  return name;
}

// How each rule is counted: by a correlation that names it, and so on outwards.
Status FindUses(ParsedRule& parsed) {
  for (size_t i = 0; i < parsed.correlations.size(); ++i) {
    for (size_t m = 0; m < parsed.correlations[i].members.size(); ++m) {
      const auto member = parsed.correlations[i].members[m];
      if (member.is_correlation) continue;
      std::vector<size_t> path = {i};
      std::vector<uint32_t> numbers = {static_cast<uint32_t>(m)};
      while (parsed.correlations[path.back()].outer) {
        numbers.push_back(parsed.correlations[path.back()].outer_member);
        path.push_back(*parsed.correlations[path.back()].outer);
      }
      CorrelationUse use;
      for (size_t level = 0; level < path.size(); ++level) {
        const Correlation& correlation = parsed.correlations[path[level]];
        CorrelationUse::Level one{path[level], numbers[level], {}, {}};
        const auto resolve = [&](const std::vector<std::string>& names,
                                 std::vector<std::string>& fields) -> Status {
          for (const auto& name : names) {
            YAGURA_ASSIGN_OR_RETURN(
                fields.emplace_back(),
                ResolveName(parsed, parsed.rules[member.index], path, level, name));
          }
          return absl::OkStatus();
        };
        YAGURA_RETURN_IF_ERROR(resolve(correlation.group_by, one.group_by));
        YAGURA_RETURN_IF_ERROR(resolve(correlation.fields, one.fields));
        use.levels.push_back(std::move(one));
      }
      if (parsed.uses[member.index].size() == kMaxUses) {
        return RefuseAt(YAML::Node(), "correlation: a rule is referred to too often");
      }
      parsed.uses[member.index].push_back(std::move(use));
    }
  }
  for (size_t i = 0; i < parsed.rules.size(); ++i) {
    if (parsed.uses[i].empty() && !parsed.correlations.front().generate) {
      return RefuseAt(YAML::Node(), fmt::format("rule \"{}\" of the text is not counted by its "
                                                "correlation",
                                                parsed.rules[i].info.title));
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool Correlation::Comparison::Holds(double measure) const {
  switch (op) {
    case Operator::kGt:
      return measure > value;
    case Operator::kGte:
      return measure >= value;
    case Operator::kLt:
      return measure < value;
    case Operator::kLte:
      return measure <= value;
    case Operator::kEq:
      return measure == value;
    case Operator::kNeq:
      return measure != value;
  }
  return false;
}

bool Correlation::IsMonotone() const {
  if (type == Type::kValueAverage || type == Type::kValuePercentile) return false;
  return std::ranges::all_of(conditions, [](const Comparison& one) {
    return one.op == Operator::kGt || one.op == Operator::kGte;
  });
}

uint64_t Correlation::threshold() const {
  uint64_t least = 1;
  for (const auto& one : conditions) {
    const auto value = static_cast<uint64_t>(std::max(one.value, 0.0));
    least = std::max(least, one.op == Operator::kGt ? value + 1 : value);
  }
  return least;
}

bool ParsedRule::MakesFindings(size_t rule) const {
  if (correlations.empty()) return true;
  if (uses[rule].empty()) return correlations.front().generate;
  return std::ranges::any_of(uses[rule], [this](const CorrelationUse& use) {
    return correlations[use.levels.front().correlation].generate;
  });
}

bool ParsedRule::CorrelationMakesFindings(size_t correlation) const {
  const auto outer = correlations[correlation].outer;
  return !outer || correlations[*outer].generate;
}

absl::Status ParseCorrelations(const std::vector<YAML::Node>& documents,
                               std::vector<RuleInfo> infos, ParsedRule& parsed) {
  if (documents.size() > kMaxCorrelationRules) {
    return RefuseAt(documents.back(), "too many correlations in one text");
  }
  parsed.correlations.resize(documents.size());
  for (size_t i = 0; i < documents.size(); ++i) parsed.correlations[i].info = std::move(infos[i]);
  for (size_t i = 0; i < documents.size(); ++i) {
    YAGURA_RETURN_IF_ERROR(ParseOne(documents[i], i, parsed));
  }
  YAGURA_RETURN_IF_ERROR(OrderCorrelations(documents, parsed));
  return FindUses(parsed);
}

absl::Status SetParameters(const CorrelationParameters& parameters, Correlation& correlation) {
  if (parameters.timespan) {
    if (*parameters.timespan < std::chrono::seconds(1) || *parameters.timespan > kLongestTimespan) {
      return RefuseAt(YAML::Node(), "timespan is not from a second to 31 days");
    }
    correlation.timespan = *parameters.timespan;
  }
  if (!parameters.count) return absl::OkStatus();
  if (correlation.conditions.size() != 1) {
    return RefuseAt(YAML::Node(), "the condition is a range: there is no single number to set");
  }
  correlation.conditions.front().value = *parameters.count;
  return CheckConditions(YAML::Node(), correlation);
}

}  // namespace yagura::detection
