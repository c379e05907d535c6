#include "services/detection/domain/engine/condition.h"

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::detection {
namespace {

constexpr int kMaxDepth = 64;
constexpr size_t kMaxNodes = 50'000;

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.' || c == '*';
}

// `*` stands for any text.
bool NameFits(std::string_view pattern, std::string_view name) {
  size_t p = 0;
  size_t n = 0;
  size_t star = pattern.size();
  size_t star_at = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_at = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star < pattern.size()) {
      p = star + 1;
      n = ++star_at;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

size_t CountNodes(const Expression& expression) {
  size_t count = 1;
  for (const auto& child : expression.children) count += CountNodes(child);
  return count;
}

class ConditionParser {
 public:
  ConditionParser(std::string_view text, const Selections& selections)
      : text_(text), selections_(selections) {
    Advance();
  }

  absl::StatusOr<Expression> Run() {
    YAGURA_ASSIGN_OR_RETURN(Expression expression, Or());
    if (token_ == "|") return Fail("aggregation after \"|\" is not supported; use a correlation");
    if (!token_.empty()) return Fail(fmt::format("unexpected \"{}\"", token_));
    return expression;
  }

 private:
  static Status Fail(std::string_view reason) {
    return absl::InvalidArgumentError(fmt::format("condition: {}", reason));
  }
  bool Is(std::string_view word) const { return EqualsIgnoreCase(token_, word); }

  void Advance() {
    while (at_ < text_.size() &&
           std::string_view(" \t\r\n").find(text_[at_]) != std::string::npos) {
      ++at_;
    }
    const size_t begin = at_;
    while (at_ < text_.size() && IsNameCharacter(text_[at_])) ++at_;
    if (at_ == begin && at_ < text_.size()) ++at_;
    token_ = text_.substr(begin, at_ - begin);
  }

  static Expression Combine(Expression::Type type, std::vector<Expression> children) {
    if (children.size() == 1) return std::move(children.front());
    Expression expression;
    expression.type = type;
    expression.children = std::move(children);
    return expression;
  }

  absl::StatusOr<Expression> Or() {
    std::vector<Expression> any;
    do {
      if (!any.empty()) Advance();
      YAGURA_ASSIGN_OR_RETURN(Expression one, And());
      any.push_back(std::move(one));
    } while (Is("or"));
    return Combine(Expression::Type::kOr, std::move(any));
  }

  absl::StatusOr<Expression> And() {
    std::vector<Expression> all;
    do {
      if (!all.empty()) Advance();
      YAGURA_ASSIGN_OR_RETURN(Expression one, Not());
      all.push_back(std::move(one));
    } while (Is("and"));
    return Combine(Expression::Type::kAnd, std::move(all));
  }

  absl::StatusOr<Expression> Not() {
    if (++depth_ > kMaxDepth) return Fail("nested too deeply");
    bool negated = false;
    while (Is("not")) {
      negated = !negated;
      Advance();
    }
    YAGURA_ASSIGN_OR_RETURN(Expression one, Primary());
    --depth_;
    if (!negated) return one;
    Expression expression;
    expression.type = Expression::Type::kNot;
    expression.children.push_back(std::move(one));
    return expression;
  }

  absl::StatusOr<Expression> Primary() {
    if (token_ == "(") {
      Advance();
      YAGURA_ASSIGN_OR_RETURN(Expression inner, Or());
      if (token_ != ")") return Fail("a parenthesis is not closed");
      Advance();
      return inner;
    }
    if (token_.empty()) return Fail("ends too early");
    const std::string_view word = token_;
    Advance();
    if (Is("of")) return Quantified(word);
    if (!IsNameCharacter(word.front())) return Fail(fmt::format("unexpected \"{}\"", word));
    for (const auto& [name, selection] : selections_) {
      if (name == word) return Copy(selection);
    }
    return Fail(fmt::format("there is no selection \"{}\"", word));
  }

  // Selections may be named any number of times: what comes of it is bounded.
  absl::StatusOr<Expression> Copy(const Expression& selection) {
    nodes_ += CountNodes(selection);
    if (nodes_ > kMaxNodes) return Fail("the rule is too large");
    return selection;
  }

  absl::StatusOr<Expression> Quantified(std::string_view quantifier) {
    const bool all = EqualsIgnoreCase(quantifier, "all");
    if (!all && quantifier != "1" && !EqualsIgnoreCase(quantifier, "any")) {
      return Fail(fmt::format("\"{} of\" is not supported: 1, any or all", quantifier));
    }
    Advance();
    const bool them = Is("them");
    const std::string_view pattern = them ? "*" : token_;
    std::vector<Expression> children;
    for (const auto& [name, selection] : selections_) {
      const bool hidden = name.starts_with('_') && !pattern.starts_with('_');
      if (hidden || !NameFits(pattern, name)) continue;
      YAGURA_ASSIGN_OR_RETURN(Expression copy, Copy(selection));
      children.push_back(std::move(copy));
    }
    if (children.empty()) return Fail(fmt::format("no selection fits \"{}\"", token_));
    Advance();
    return Combine(all ? Expression::Type::kAnd : Expression::Type::kOr, std::move(children));
  }

  std::string_view text_;
  const Selections& selections_;
  size_t at_ = 0;
  std::string_view token_;
  int depth_ = 0;
  size_t nodes_ = 0;
};

}  // namespace

absl::StatusOr<Expression> ParseCondition(std::string_view text, const Selections& selections) {
  if (text.size() > 4096) return absl::InvalidArgumentError("condition: longer than 4096 bytes");
  return ConditionParser(text, selections).Run();
}

}  // namespace yagura::detection
