#include "services/detection/domain/engine/selection.h"

#include <array>

#include "fmt/format.h"
#include "yaml-cpp/yaml.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::detection {
namespace {

// How many values the dashes of one `windash` value may become.
constexpr size_t kMaxDashes = 3;

// A field name with its modifiers, "CommandLine|contains|all".
struct Key {
  std::string field;  // empty: keywords
  Matcher::Placement placement = Matcher::Placement::kWhole;
  bool all = false;
  bool cased = false;
  bool windash = false;
  bool regex = false;
  std::string regex_flags;
  bool cidr = false;
  bool exists = false;
  bool neq = false;
  std::optional<Matcher::Kind> compare;
};

absl::StatusOr<Key> ParseKey(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  const auto parts = Split(text, '|');
  Key key;
  key.field = parts.front();
  int kinds = 0;  // modifiers of which there may be one alone
  for (size_t i = 1; i < parts.size(); ++i) {
    const std::string_view modifier = parts[i];
    const auto place = [&key, &kinds](Matcher::Placement placement) {
      key.placement = placement;
      ++kinds;
    };
    const auto compare = [&key, &kinds](Matcher::Kind kind) {
      key.compare = kind;
      ++kinds;
    };
    if (modifier == "contains") {
      place(Matcher::Placement::kAnywhere);
    } else if (modifier == "startswith") {
      place(Matcher::Placement::kStart);
    } else if (modifier == "endswith") {
      place(Matcher::Placement::kEnd);
    } else if (modifier == "all") {
      key.all = true;
    } else if (modifier == "cased") {
      key.cased = true;
    } else if (modifier == "windash") {
      key.windash = true;
    } else if (modifier == "re") {
      key.regex = true;
      ++kinds;
    } else if (key.regex && (modifier == "i" || modifier == "m" || modifier == "s")) {
      key.regex_flags += modifier;
    } else if (modifier == "cidr") {
      key.cidr = true;
      ++kinds;
    } else if (modifier == "exists") {
      key.exists = true;
      ++kinds;
    } else if (modifier == "neq") {
      key.neq = true;
    } else if (modifier == "lt") {
      compare(Matcher::Kind::kLess);
    } else if (modifier == "lte") {
      compare(Matcher::Kind::kLessEqual);
    } else if (modifier == "gt") {
      compare(Matcher::Kind::kGreater);
    } else if (modifier == "gte") {
      compare(Matcher::Kind::kGreaterEqual);
    } else {
      return RefuseAt(node, fmt::format("modifier \"{}\" is not supported", modifier));
    }
  }
  const bool text_only = key.cased || key.windash;
  if (kinds > 1 || (text_only && (key.regex || key.cidr || key.exists || key.compare)) ||
      (key.exists && (key.all || key.neq)) ||
      (key.field.empty() && (key.exists || key.neq || key.compare || key.cidr))) {
    return RefuseAt(node, fmt::format("modifiers of \"{}\" do not go together", text));
  }
  // A keyword is looked for anywhere.
  if (key.field.empty() && kinds == 0) key.placement = Matcher::Placement::kAnywhere;
  return key;
}

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

Expression Leaf(const Key& key, Matcher matcher) {
  Expression expression;
  expression.type = key.field.empty() ? Expression::Type::kKeyword : Expression::Type::kMatch;
  expression.field = key.field;
  expression.matcher = std::move(matcher);
  return expression;
}

bool IsWord(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// Every way to write the dashes of a command-line flag: "-x", "/x", and three longer dashes.
absl::StatusOr<std::vector<std::string>> DashVariants(const std::string& text) {
  constexpr std::array<std::string_view, 5> kDashes = {"-", "/", "\u2013", "\u2014", "\u2015"};
  std::vector<size_t> places;
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    const bool dash = text[i] == '-' || text[i] == '/';
    if (dash && (i == 0 || !IsWord(text[i - 1])) && IsWord(text[i + 1])) places.push_back(i);
  }
  if (places.size() > kMaxDashes) return absl::InvalidArgumentError("too many dashes for windash");
  std::vector<std::string> variants = {""};
  size_t from = 0;
  for (const size_t place : places) {
    std::vector<std::string> longer;
    for (const auto& variant : variants) {
      for (const auto dash : kDashes) {
        longer.push_back(fmt::format("{}{}{}", variant, text.substr(from, place - from), dash));
      }
    }
    variants = std::move(longer);
    from = place + 1;
  }
  for (auto& variant : variants) variant += text.substr(from);
  return variants;
}

absl::StatusOr<Expression> TextLeaf(const Key& key, const std::string& text) {
  if (!key.windash) return Leaf(key, Matcher::Text(text, key.placement, key.cased));
  YAGURA_ASSIGN_OR_RETURN(const auto variants, DashVariants(text));
  std::vector<Expression> any;
  for (const auto& variant : variants) {
    any.push_back(Leaf(key, Matcher::Text(variant, key.placement, key.cased)));
  }
  return Combine(Expression::Type::kOr, std::move(any));
}

absl::StatusOr<Expression> ScalarTest(const Key& key, const std::string& text) {
  if (key.regex) {
    YAGURA_ASSIGN_OR_RETURN(Matcher matcher, Matcher::Regex(text, key.regex_flags));
    return Leaf(key, std::move(matcher));
  }
  if (key.cidr) {
    YAGURA_ASSIGN_OR_RETURN(Matcher matcher, Matcher::Cidr(text));
    return Leaf(key, std::move(matcher));
  }
  if (key.compare) {
    YAGURA_ASSIGN_OR_RETURN(Matcher matcher, Matcher::Compare(*key.compare, text));
    return Leaf(key, std::move(matcher));
  }
  if (key.exists) {
    if (text == "true" || text == "yes") return Exists(key.field);
    if (text == "false" || text == "no") return Negate(Exists(key.field));
    return absl::InvalidArgumentError("exists takes true or false");
  }
  return TextLeaf(key, text);
}

absl::StatusOr<Expression> ParseValue(const Key& key, const YAML::Node& node, int& budget) {
  if (--budget < 0) return RefuseAt(node, "the rule has too many values");
  if (node.IsNull()) {
    const bool plain = key.placement == Matcher::Placement::kWhole && !key.regex && !key.cidr &&
                       !key.exists && !key.compare && !key.field.empty();
    if (!plain) return RefuseAt(node, "null goes with no modifier and needs a field");
    return Negate(Exists(key.field));
  }
  if (!node.IsScalar()) return RefuseAt(node, "a value is neither text nor number");
  auto test = ScalarTest(key, node.Scalar());
  if (!test.ok()) return RefuseAt(node, Message(test.status()));
  return test;
}

absl::StatusOr<Expression> ParseValues(const Key& key, const YAML::Node& node, int& budget) {
  std::vector<Expression> values;
  if (node.IsSequence()) {
    for (const auto& item : node) {
      YAGURA_ASSIGN_OR_RETURN(Expression value, ParseValue(key, item, budget));
      values.push_back(std::move(value));
    }
    if (values.empty()) return RefuseAt(node, "a list without values");
  } else {
    YAGURA_ASSIGN_OR_RETURN(Expression value, ParseValue(key, node, budget));
    values.push_back(std::move(value));
  }
  Expression test =
      Combine(key.all ? Expression::Type::kAnd : Expression::Type::kOr, std::move(values));
  if (!key.neq) return test;
  std::vector<Expression> both;
  both.push_back(Exists(key.field));
  both.push_back(Negate(std::move(test)));
  return Combine(Expression::Type::kAnd, std::move(both));
}

absl::StatusOr<Expression> ParseMap(const YAML::Node& node, int& budget) {
  std::vector<Expression> all;
  for (const auto& entry : node) {
    if (!entry.first.IsScalar()) return RefuseAt(entry.first, "a field name is not text");
    YAGURA_ASSIGN_OR_RETURN(const Key key, ParseKey(entry.first));
    YAGURA_ASSIGN_OR_RETURN(Expression values, ParseValues(key, entry.second, budget));
    all.push_back(std::move(values));
  }
  if (all.empty()) return RefuseAt(node, "a selection without fields");
  return Combine(Expression::Type::kAnd, std::move(all));
}

Key KeywordKey() {
  Key key;
  key.placement = Matcher::Placement::kAnywhere;
  return key;
}

}  // namespace

absl::Status RefuseAt(const YAML::Node& node, std::string_view reason) {
  const int line = node.IsDefined() && !node.Mark().is_null() ? node.Mark().line + 1 : 0;
  return MakeError(absl::StatusCode::kInvalidArgument, "RULE_REFUSED",
                   line > 0 ? fmt::format("line {}: {}", line, reason) : std::string(reason),
                   {{"line", fmt::format("{}", line)}});
}

absl::StatusOr<Expression> ParseSelection(const YAML::Node& node, int& budget) {
  if (node.IsMap()) return ParseMap(node, budget);
  if (node.IsScalar()) return ParseValue(KeywordKey(), node, budget);
  if (!node.IsSequence() || node.size() == 0) return RefuseAt(node, "an empty selection");
  std::vector<Expression> any;
  for (const auto& item : node) {
    auto one = item.IsMap() ? ParseMap(item, budget) : ParseValue(KeywordKey(), item, budget);
    if (!one.ok()) return one.status();
    any.push_back(std::move(*one));
  }
  return Combine(Expression::Type::kOr, std::move(any));
}

}  // namespace yagura::detection
