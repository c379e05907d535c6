#include "services/detection/domain/engine/counting.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "fmt/format.h"

#include "common/digest/sha256.h"
#include "common/text/text.h"

namespace yagura::detection {
namespace {

constexpr size_t kDigits = 16;

// Behind its size: no two lists are one text.
void Add(std::string_view part, std::string& text) {
  text += fmt::format("{}:", part.size());
  text += part;
}
void Add(const std::vector<std::string>& parts, std::string& text) {
  Add(fmt::format("{}", parts.size()), text);
  for (const auto& part : parts) Add(part, text);
}
template <typename Enum>
std::string NumberOf(Enum value) {
  return fmt::format("{}", static_cast<int>(value));
}

std::string TextOf(const Expression& expression);

// In any order, and however they are nested, they say the same.
void AddParts(const Expression& expression, std::vector<std::string>& parts) {
  for (const auto& child : expression.children) {
    if (child.type == expression.type) {
      AddParts(child, parts);
    } else {
      parts.push_back(TextOf(child));
    }
  }
}

std::string TextOf(const Expression& expression) {
  std::string text = NumberOf(expression.type);
  switch (expression.type) {
    case Expression::Type::kAnd:
    case Expression::Type::kOr: {
      std::vector<std::string> parts;
      AddParts(expression, parts);
      std::ranges::sort(parts);
      parts.erase(std::ranges::unique(parts).begin(), parts.end());
      if (parts.size() == 1) return std::move(parts.front());
      std::string all;
      Add(parts, all);
      return text + Sha256Hex(all);
    }
    case Expression::Type::kNot:
      for (const auto& child : expression.children) Add(TextOf(child), text);
      return text;
    case Expression::Type::kExists:
      Add(expression.field, text);
      return text;
    case Expression::Type::kMatch:
    case Expression::Type::kKeyword:
      Add(expression.field, text);
      Add(expression.matcher.Key(), text);
      return text;
    case Expression::Type::kFieldReference:
      Add(expression.field, text);
      Add(expression.other_field, text);
      Add(NumberOf(expression.placement), text);
      Add(NumberOf(expression.cased), text);
      return text;
  }
  return text;
}

std::string TextOf(const ParsedRule& parsed, const CorrelationUse& use) {
  std::string text;
  for (const auto& level : use.levels) {
    Add(parsed.correlations[level.correlation].info.id, text);
    Add(fmt::format("{}", level.member), text);
    Add(level.group_by, text);
    Add(level.fields, text);
  }
  return text;
}

std::string TextOf(const ParsedRule& parsed, size_t rule) {
  const SingleRule& single = parsed.rules[rule];
  std::string text;
  Add(single.info.id, text);
  Add(ToLower(single.logsource.product), text);
  Add(ToLower(single.logsource.category), text);
  Add(ToLower(single.logsource.service), text);
  Add(TextOf(single.condition), text);
  std::vector<std::string> uses;
  for (const auto& use : parsed.uses[rule]) uses.push_back(TextOf(parsed, use));
  std::ranges::sort(uses);
  Add(uses, text);
  return text;
}

std::string TextOf(const ParsedRule& parsed, const Correlation& correlation) {
  std::string text;
  Add(correlation.info.id, text);
  Add(NumberOf(correlation.type), text);
  std::vector<std::string> members;
  for (const auto& member : correlation.members) {
    members.push_back(member.is_correlation ? parsed.correlations[member.index].info.id
                                            : parsed.rules[member.index].info.id);
  }
  Add(members, text);
  Add(correlation.group_by, text);
  Add(correlation.fields, text);
  Add(correlation.percentile ? fmt::format("{}", *correlation.percentile) : "", text);
  Add(fmt::format("{}", correlation.timespan.count()), text);
  Add(NumberOf(correlation.generate), text);
  Add(NumberOf(correlation.IsMonotone()), text);  // what is kept follows from that
  return text;
}

}  // namespace

std::string CountingOf(const ParsedRule& parsed) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < parsed.rules.size(); ++i) parts.push_back(TextOf(parsed, i));
  for (const auto& one : parsed.correlations) parts.push_back(TextOf(parsed, one));
  std::ranges::sort(parts);
  std::string text;
  Add(parts, text);
  return Sha256Hex(text).substr(0, kDigits);
}

}  // namespace yagura::detection
