#include "tests/unit/services/detection/plain_matcher.h"

#include <algorithm>

#include "gtest/gtest.h"

#include "common/event/alias.h"
#include "services/detection/domain/engine/case_fold.h"
#include "services/detection/domain/engine/columns.h"

namespace yagura::detection::testing {

std::vector<Match> PlainMatcher::Run(const RuleSet& rules) {
  std::vector<Match> matches;
  for (uint32_t row = 0; row < batch_.size(); ++row) {
    UseRow(row);
    for (uint32_t i = 0; i < rules.targets().size(); ++i) {
      const auto& target = rules.targets()[i];
      const auto& entry = rules.entries()[target.entry];
      if (!entry.tenant.empty() && entry.tenant != batch_.tenant()) continue;
      const SingleRule& rule = entry.rule->rules[target.rule];
      if (Holds(rule.logsource_test) && Holds(rule.condition)) matches.push_back({row, i});
    }
  }
  return matches;
}

void PlainMatcher::UseRow(uint32_t row) {
  row_ = row;
  values_.clear();
  words_.clear();
  EXPECT_TRUE(batch_.Get(row, &event_).ok());
  const auto add = [this](const std::string& text) { words_.push_back({text, FoldCase(text)}); };
  add(event_.raw());
  for (const auto& field : event_.fields()) add(field.value());
  if (!event_.message().empty()) add(event_.message());
}

const std::vector<PlainMatcher::Value>& PlainMatcher::Values(const std::string& field) {
  const auto [found, is_new] = values_.try_emplace(field);
  if (!is_new) return found->second;
  auto path = event::ResolveSigmaName(field);
  if (field.starts_with('@') && event::CoreByName(field.substr(1))) {
    path = {"", event::CoreByName(field.substr(1))};
  }
  for (const auto& original : event_.fields()) {
    if (!path.original.empty() && original.name() == path.original) {
      found->second.push_back({original.value(), FoldCase(original.value())});
    }
  }
  if (found->second.empty() && path.core) {
    const auto column = batch_.Read(*path.core);
    EXPECT_TRUE(column.ok());
    const TextColumn texts(**column, path.core);
    if (texts.has(row_)) {
      const std::string text(texts.text(row_));
      found->second.push_back({text, FoldCase(text)});
    }
  }
  return found->second;
}

bool PlainMatcher::Holds(const Expression& expression) {
  const auto& children = expression.children;
  const auto holds = [this](const Expression& child) { return Holds(child); };
  switch (expression.type) {
    case Expression::Type::kAnd:
      return std::all_of(children.begin(), children.end(), holds);
    case Expression::Type::kOr:
      return std::any_of(children.begin(), children.end(), holds);
    case Expression::Type::kNot:
      return !Holds(children.front());
    case Expression::Type::kExists:
      return !Values(expression.field).empty();
    case Expression::Type::kKeyword:
      return HasKeyword(expression.matcher);
    case Expression::Type::kFieldReference:
      return Refers(expression);
    case Expression::Type::kMatch:
      break;
  }
  const auto& values = Values(expression.field);
  return std::any_of(values.begin(), values.end(), [&](const Value& value) {
    return expression.matcher.Matches({value.text, value.folded});
  });
}

bool PlainMatcher::HasKeyword(const Matcher& matcher) {
  return std::any_of(words_.begin(), words_.end(), [&](const Value& value) {
    return matcher.Matches({value.text, value.folded});
  });
}

bool PlainMatcher::Refers(const Expression& expression) {
  const auto values = Values(expression.field);
  for (const auto& value : values) {
    for (const auto& other : Values(expression.other_field)) {
      const std::string_view text = expression.cased ? value.text : value.folded;
      const std::string_view part = expression.cased ? other.text : other.folded;
      const size_t at = text.find(part);
      switch (expression.placement) {
        case Matcher::Placement::kWhole:
          if (text == part) return true;
          break;
        case Matcher::Placement::kStart:
          if (at == 0) return true;
          break;
        case Matcher::Placement::kEnd:
          if (text.ends_with(part)) return true;
          break;
        case Matcher::Placement::kAnywhere:
          if (at != std::string_view::npos) return true;
          break;
      }
    }
  }
  return false;
}

}  // namespace yagura::detection::testing
