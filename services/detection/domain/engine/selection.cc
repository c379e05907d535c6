#include "services/detection/domain/engine/selection.h"

#include "fmt/format.h"
#include "yaml-cpp/yaml.h"

#include "common/status/status.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/modifiers.h"
#include "services/detection/domain/engine/pattern.h"

namespace yagura::detection {
namespace {

using Type = Modifiers::Type;

Expression Negate(Expression inner) {
  Expression expression;
  expression.type = Expression::Type::kNot;
  expression.children.push_back(std::move(inner));
  return expression;
}

Expression Combine(Expression::Type type, std::vector<Expression> children) {
  if (children.size() == 1) return std::move(children.front());
  Expression expression;
  expression.type = type;
  expression.children = std::move(children);
  return expression;
}

Expression Exists(const std::string& field) {
  Expression expression;
  expression.type = Expression::Type::kExists;
  expression.field = field;
  return expression;
}

Expression Leaf(const Modifiers& key, Matcher matcher) {
  Expression expression;
  expression.type = key.field.empty() ? Expression::Type::kKeyword : Expression::Type::kMatch;
  expression.field = key.field;
  expression.matcher = std::move(matcher);
  return expression;
}

// The event has no such field, or it says null: JSON's null is kept as that word.
Expression IsNull(const Modifiers& key) {
  std::vector<Expression> either;
  either.push_back(Negate(Exists(key.field)));
  either.push_back(
      Leaf(key, Matcher::Text(ReadPattern("null"), Matcher::Placement::kWhole, /*cased=*/true)));
  return Combine(Expression::Type::kOr, std::move(either));
}

absl::StatusOr<Expression> TextTest(const Modifiers& key, const std::string& text) {
  std::vector<Pattern> patterns = {ReadPattern(text)};
  if (key.windash) patterns.front() = WithAnyDash(patterns.front());
  for (const Encoding encoding : key.encodings) {
    std::vector<Pattern> encoded;
    for (const auto& pattern : patterns) {
      YAGURA_ASSIGN_OR_RETURN(auto some, Encode(pattern, encoding));
      std::move(some.begin(), some.end(), std::back_inserter(encoded));
    }
    patterns = std::move(encoded);
  }
  std::vector<Expression> any;
  for (const auto& pattern : patterns) {
    any.push_back(Leaf(key, Matcher::Text(pattern, key.placement, key.cased)));
  }
  return Combine(Expression::Type::kOr, std::move(any));
}

// Found anywhere unless a placement says where.
std::string PlacedRegex(const Modifiers& key, const std::string& text) {
  if (key.placement == Matcher::Placement::kStart) return fmt::format("\\A(?:{})", text);
  if (key.placement == Matcher::Placement::kEnd) return fmt::format("(?:{})\\z", text);
  return text;
}

absl::StatusOr<Expression> ExistsTest(const Modifiers& key, const std::string& text) {
  const std::string lower = ToLower(text);
  if (lower == "true" || lower == "yes") return Exists(key.field);
  if (lower == "false" || lower == "no") return Negate(Exists(key.field));
  return absl::InvalidArgumentError("exists takes true or false");
}

absl::StatusOr<Expression> ReferenceTest(const Modifiers& key, const std::string& text) {
  if (text.empty()) return absl::InvalidArgumentError("fieldref takes the name of a field");
  Expression expression;
  expression.type = Expression::Type::kFieldReference;
  expression.field = key.field;
  expression.other_field = text;
  expression.placement = key.placement;
  expression.cased = key.cased;
  return expression;
}

absl::StatusOr<Expression> ScalarTest(const Modifiers& key, const std::string& text) {
  absl::StatusOr<Matcher> matcher;
  switch (key.type) {
    case Type::kText:
      return TextTest(key, text);
    case Type::kExists:
      return ExistsTest(key, text);
    case Type::kFieldReference:
      return ReferenceTest(key, text);
    case Type::kRegex:
      matcher = Matcher::Regex(PlacedRegex(key, text), key.regex_flags);
      break;
    case Type::kCidr:
      matcher = Matcher::Cidr(text);
      break;
    case Type::kCompare:
      matcher = Matcher::Compare(key.relation, text);
      break;
    case Type::kTimePart:
      matcher = Matcher::Time(key.time_part, key.relation, text);
      break;
  }
  if (!matcher.ok()) return matcher.status();
  return Leaf(key, *std::move(matcher));
}

// Within what all regular expressions of the text may be together.
absl::StatusOr<Expression> BoundedTest(const Modifiers& key, const std::string& text,
                                       SelectionContext& context) {
  auto test = ScalarTest(key, text);
  if (!test.ok()) return test;
  const size_t size = test->matcher.regex_size();
  if (size > context.regex_budget) {
    return absl::InvalidArgumentError("the rule's regular expressions are too costly together");
  }
  context.regex_budget -= size;
  return test;
}

// An error about a placeholder's value, told without it: who wrote the rule need not know whose it
// is.
absl::Status Hiding(const absl::Status& error, std::string_view value, std::string_view text) {
  std::string message(Message(error));
  for (size_t at = 0; !value.empty() && (at = message.find(value, at)) != std::string::npos;
       at += text.size()) {
    message.replace(at, value.size(), text);
  }
  return absl::InvalidArgumentError(message);
}

absl::StatusOr<Expression> ExpandedTest(const Modifiers& key, const std::string& text,
                                        SelectionContext& context) {
  YAGURA_ASSIGN_OR_RETURN(const auto texts,
                          ExpandPlaceholders(text, context.placeholders, &context.used));
  std::vector<Expression> any;
  for (const auto& one : texts) {
    if (--context.budget < 0) return absl::InvalidArgumentError("the rule has too many values");
    auto test = BoundedTest(key, one, context);
    if (!test.ok()) return Hiding(test.status(), one, text);
    any.push_back(*std::move(test));
  }
  return Combine(Expression::Type::kOr, std::move(any));
}

absl::StatusOr<Expression> ParseValue(const Modifiers& key, const YAML::Node& node,
                                      SelectionContext& context) {
  if (--context.budget < 0) return RefuseAt(node, "the rule has too many values");
  if (node.IsNull()) {
    const bool plain = key.type == Type::kText && key.encodings.empty() && !key.windash &&
                       key.placement == Matcher::Placement::kWhole && !key.field.empty();
    if (!plain) return RefuseAt(node, "null goes with no modifier and needs a field");
    return IsNull(key);
  }
  if (!node.IsScalar()) return RefuseAt(node, "a value is neither text nor number");
  auto test = key.expand ? ExpandedTest(key, node.Scalar(), context)
                         : BoundedTest(key, node.Scalar(), context);
  if (!test.ok()) return RefuseAt(node, Message(test.status()));
  return test;
}

// Another value than those of `test`: there is no other value where there is none.
Expression Differs(const Modifiers& key, const std::vector<std::string>& references,
                   Expression test) {
  std::vector<Expression> all;
  all.push_back(Exists(key.field));
  for (const auto& reference : references) all.push_back(Exists(reference));
  all.push_back(Negate(std::move(test)));
  return Combine(Expression::Type::kAnd, std::move(all));
}

absl::StatusOr<Expression> ParseValues(const Modifiers& key, const YAML::Node& node,
                                       SelectionContext& context) {
  std::vector<Expression> values;
  if (node.IsSequence()) {
    for (const auto& item : node) {
      YAGURA_ASSIGN_OR_RETURN(Expression value, ParseValue(key, item, context));
      values.push_back(std::move(value));
    }
    if (values.empty()) return RefuseAt(node, "a list without values");
  } else {
    YAGURA_ASSIGN_OR_RETURN(Expression value, ParseValue(key, node, context));
    values.push_back(std::move(value));
  }
  std::vector<std::string> references;
  for (const auto& value : values) {
    if (!value.other_field.empty()) references.push_back(value.other_field);
  }
  Expression test =
      Combine(key.all ? Expression::Type::kAnd : Expression::Type::kOr, std::move(values));
  return key.neq ? Differs(key, references, std::move(test)) : test;
}

absl::StatusOr<Expression> ParseMap(const YAML::Node& node, SelectionContext& context) {
  YAGURA_RETURN_IF_ERROR(RefuseRepeatedKeys(node));
  std::vector<Expression> all;
  for (const auto& entry : node) {
    if (!entry.first.IsScalar()) return RefuseAt(entry.first, "a field name is not text");
    const auto key = ParseModifiers(entry.first.Scalar());
    if (!key.ok()) return RefuseAt(entry.first, Message(key.status()));
    YAGURA_ASSIGN_OR_RETURN(Expression values, ParseValues(*key, entry.second, context));
    all.push_back(std::move(values));
  }
  if (all.empty()) return RefuseAt(node, "a selection without fields");
  return Combine(Expression::Type::kAnd, std::move(all));
}

}  // namespace

absl::Status RefuseAt(const YAML::Node& node, std::string_view reason) {
  const int line = node.IsDefined() && !node.Mark().is_null() ? node.Mark().line + 1 : 0;
  return MakeError(absl::StatusCode::kInvalidArgument, "RULE_REFUSED",
                   line > 0 ? fmt::format("line {}: {}", line, reason) : std::string(reason),
                   {{"line", fmt::format("{}", line)}});
}

absl::Status RefuseRepeatedKeys(const YAML::Node& map) {
  StringSet seen;
  for (const auto& entry : map) {
    if (entry.first.IsScalar() && !seen.insert(entry.first.Scalar()).second) {
      return RefuseAt(entry.first, fmt::format("\"{}\" stands twice", entry.first.Scalar()));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Expression> ParseSelection(const YAML::Node& node, SelectionContext& context) {
  if (node.IsMap()) return ParseMap(node, context);
  const Modifiers keyword = KeywordModifiers();
  if (node.IsScalar()) return ParseValue(keyword, node, context);
  if (!node.IsSequence() || node.size() == 0) return RefuseAt(node, "an empty selection");
  std::vector<Expression> any;
  for (const auto& item : node) {
    auto one = item.IsMap() ? ParseMap(item, context) : ParseValue(keyword, item, context);
    if (!one.ok()) return one.status();
    any.push_back(std::move(*one));
  }
  return Combine(Expression::Type::kOr, std::move(any));
}

}  // namespace yagura::detection
