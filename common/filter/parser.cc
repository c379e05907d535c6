#include "common/filter/parser.h"

#include "fmt/format.h"
#include "google/protobuf/descriptor.h"

#include "common/filter/filter.h"
#include "common/filter/resolve.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::filter {
namespace {

using NodePtr = std::shared_ptr<const Node>;
using Nodes = std::vector<NodePtr>;

bool IsQuote(char c) { return c == '"' || c == '\''; }
bool IsParenthesis(char c) { return c == '(' || c == ')'; }

NodePtr Combine(Node::Type type, Nodes children) {
  if (children.size() == 1 && type != Node::Type::kNot) return children.front();
  Node node{type, {}, {}, {}};
  node.children = std::move(children);
  return std::make_shared<const Node>(std::move(node));
}

// Recursive descent over the grammar of AIP-160. What a character means depends on whether a field
// or a value is expected, so there is no separate lexer.
class Parser {
 public:
  Parser(std::string_view text, const Schema& schema, std::optional<TimePoint> now)
      : text_(text), schema_(schema), now_(now) {}

  absl::StatusOr<NodePtr> Run() {
    SkipSpace();
    if (AtEnd()) return NodePtr();
    YAGURA_ASSIGN_OR_RETURN(NodePtr root, Expression());
    if (!AtEnd()) return Fail(at_, "unexpected \")\"");
    return root;
  }

 private:
  static Status Fail(size_t at, std::string_view reason) {
    return InvalidField("filter", fmt::format("at position {}: {}", at + 1, reason));
  }
  static Status Fail(size_t at, const Status& status) { return Fail(at, Message(status)); }

  bool AtEnd() const { return at_ >= text_.size(); }
  char Peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  // Before any other character a backslash is itself.
  bool EscapeHere() const {
    return Peek() == '\\' && (Peek(1) == '\\' || Peek(1) == '*' || IsQuote(Peek(1)));
  }
  // How many bytes of white space begin there; the space of Japanese input is wide.
  size_t SpaceAt(size_t at) const {
    if (at >= text_.size()) return 0;
    if (std::string_view(" \t\n\r").find(text_[at]) != std::string_view::npos) return 1;
    constexpr std::string_view kWideSpace = "\u3000";
    return text_.substr(at).starts_with(kWideSpace) ? kWideSpace.size() : 0;
  }
  bool SpaceHere() const { return SpaceAt(at_) > 0; }
  void SkipSpace() {
    while (const size_t size = SpaceAt(at_)) at_ += size;
  }
  // The keyword stands alone here; takes it and the space after it.
  bool TakeKeyword(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    const char next = Peek(word.size());
    if (next != '\0' && SpaceAt(at_ + word.size()) == 0 && !IsParenthesis(next)) return false;
    at_ += word.size();
    SkipSpace();
    return true;
  }
  bool AtKeyword(std::string_view word) {
    const size_t before = at_;
    const bool taken = TakeKeyword(word);
    at_ = before;
    return taken;
  }
  bool AtFactorEnd() {
    SkipSpace();
    return AtEnd() || Peek() == ')' || AtKeyword("AND") || AtKeyword("OR");
  }

  // expression = sequence {AND sequence}; sequence = factor {factor}
  absl::StatusOr<NodePtr> Expression() {
    Nodes all;
    do {
      do {
        YAGURA_ASSIGN_OR_RETURN(NodePtr factor, Factor());
        all.push_back(std::move(factor));
      } while (!AtFactorEnd());
    } while (TakeKeyword("AND"));
    return Combine(Node::Type::kAnd, std::move(all));
  }

  // factor = term {OR term}
  absl::StatusOr<NodePtr> Factor() {
    Nodes any;
    do {
      YAGURA_ASSIGN_OR_RETURN(NodePtr term, Term());
      any.push_back(std::move(term));
      SkipSpace();
    } while (TakeKeyword("OR"));
    return Combine(Node::Type::kOr, std::move(any));
  }

  // term = [NOT | "-"] simple; simple = "(" expression ")" | restriction
  absl::StatusOr<NodePtr> Term() {
    const Deeper deeper(*this);
    if (depth_ > kMaxDepth) return Fail(at_, "nested too deeply");
    SkipSpace();
    if (AtEnd()) return Fail(at_, "a term is missing");
    bool negated = false;
    if (TakeKeyword("NOT")) {
      negated = true;
    } else if (Peek() == '-') {
      ++at_;
      negated = true;
    }
    YAGURA_ASSIGN_OR_RETURN(NodePtr simple, Simple());
    return negated ? Combine(Node::Type::kNot, {std::move(simple)}) : simple;
  }

  absl::StatusOr<NodePtr> Simple() {
    if (AtEnd() || AtKeyword("AND") || AtKeyword("OR")) return Fail(at_, "a term is missing");
    if (AtKeyword("NOT")) return Term();
    if (Peek() == ')') return Fail(at_, "unexpected \")\"");
    if (Peek() != '(') return Restriction();
    const size_t open = at_++;
    YAGURA_ASSIGN_OR_RETURN(NodePtr inner, Expression());
    if (Peek() != ')') return Fail(open, "this parenthesis is not closed");
    ++at_;
    return inner;
  }

  // A comparison, or a bare word or phrase.
  absl::StatusOr<NodePtr> Restriction() {
    const size_t begin = at_;
    if (IsQuote(Peek())) {
      YAGURA_ASSIGN_OR_RETURN(const std::string_view phrase, Quoted());
      if (PeekComparator()) return Fail(begin, "a field name does not stand in quotes");
      return Search(phrase, begin);
    }
    WrittenPath path;
    const size_t word_begin = at_;
    while (!AtEnd() && !SpaceHere() && !IsQuote(Peek()) && !IsParenthesis(Peek()) &&
           !ComparatorHere()) {
      at_ += EscapeHere() ? 2 : 1;
    }
    const std::string_view word = text_.substr(word_begin, at_ - word_begin);
    path.text = word;
    if (IsQuote(Peek()) && word.ends_with('.')) {
      YAGURA_ASSIGN_OR_RETURN(const std::string_view tail, Quoted());
      path.quoted_tail = Pattern::Parse(tail, true, false).literal();
      path.has_quoted_tail = true;
    }
    const auto comparator = PeekComparator();
    if (!comparator) {
      if (path.has_quoted_tail) return Fail(at_, "a comparison is missing");
      if (Peek() == '(') return Fail(begin, "functions are not supported");
      return Search(word, begin);
    }
    if (word.empty()) return Fail(begin, "a field name is missing");
    auto resolved = ResolvePath(path, schema_);
    if (!resolved.ok()) return Fail(begin, resolved.status());
    TakeComparator();
    SkipSpace();
    return Values(*resolved, *comparator);
  }

  // One value, or values in parentheses joined by AND, OR and NOT.
  absl::StatusOr<NodePtr> Values(const Predicate& path, Comparator comparator) {
    if (Peek() != '(') return Value(path, comparator);
    const Deeper deeper(*this);
    if (depth_ > kMaxDepth) return Fail(at_, "nested too deeply");
    const size_t open = at_++;
    Nodes all;
    do {
      do {
        Nodes any;
        do {
          SkipSpace();
          const bool negated = TakeKeyword("NOT");
          YAGURA_ASSIGN_OR_RETURN(NodePtr value, Values(path, comparator));
          any.push_back(negated ? Combine(Node::Type::kNot, {std::move(value)}) : std::move(value));
          SkipSpace();
        } while (TakeKeyword("OR"));
        all.push_back(Combine(Node::Type::kOr, std::move(any)));
      } while (!AtFactorEnd());
    } while (TakeKeyword("AND"));
    if (Peek() != ')') return Fail(open, "this parenthesis is not closed");
    ++at_;
    return Combine(Node::Type::kAnd, std::move(all));
  }

  absl::StatusOr<NodePtr> Value(const Predicate& path, Comparator comparator) {
    const size_t begin = at_;
    std::string_view value;
    if (IsQuote(Peek())) {
      YAGURA_ASSIGN_OR_RETURN(value, Quoted());
    } else {
      while (!AtEnd() && !SpaceHere() && !IsQuote(Peek()) && !IsParenthesis(Peek())) {
        at_ += EscapeHere() ? 2 : 1;
      }
      value = text_.substr(begin, at_ - begin);
      if (value.empty()) return Fail(begin, "a value is missing");
      if (IsQuote(Peek())) return Fail(at_, "a quote within a word: put the whole value in quotes");
    }
    // The text anywhere in the field that bare words search is the bare word.
    const bool is_bare_word = comparator == Comparator::kHas && value != "*" && !path.keyed &&
                              schema_.folded_text() && schema_.search().contains(path.path);
    if (is_bare_word) return Search(value, begin);
    auto predicate = ResolveValue(path, comparator, value, now_);
    if (!predicate.ok()) return Fail(begin, predicate.status());
    Node node{Node::Type::kPredicate, {}, *std::move(predicate), {}};
    auto leaf = std::make_shared<const Node>(std::move(node));
    if (comparator != Comparator::kNotEqual) return leaf;
    return Combine(Node::Type::kNot, {std::move(leaf)});
  }

  absl::StatusOr<NodePtr> Search(std::string_view word, size_t begin) {
    if (schema_.search().empty()) {
      return Fail(begin, fmt::format("\"{}\" is no comparison: write field = value", word));
    }
    Node node{Node::Type::kSearch, {}, {}, {}};
    node.search.pattern = Pattern::Parse(word, false, true);
    node.search.folded = node.search.pattern.Folded();
    node.search.folds_to_ascii =
        schema_.folded_text() && node.search.folded.IsAscii() && !node.search.pattern.IsAscii();
    node.search.folded_text = schema_.folded_text();
    for (const auto& path : schema_.search()) {
      auto resolved = ResolvePath({path, "", false}, schema_);
      if (!resolved.ok()) return Fail(begin, resolved.status());
      node.search.paths.push_back(resolved->fields);
    }
    return std::make_shared<const Node>(std::move(node));
  }

  // The text between the quotes, with its escapes. Whatever follows must not be part of a word.
  absl::StatusOr<std::string_view> Quoted() {
    const size_t open = at_;
    const char quote = text_[at_++];
    while (!AtEnd() && Peek() != quote) {
      at_ += EscapeHere() ? 2 : 1;
    }
    if (AtEnd()) return Fail(open, "this quote is not closed");
    const auto inner = text_.substr(open + 1, at_ - open - 1);
    ++at_;
    if (!AtEnd() && !SpaceHere() && !IsParenthesis(Peek()) && !ComparatorHere()) {
      return Fail(at_, "white space is missing after the quote");
    }
    return inner;
  }

  bool ComparatorHere() const {
    const char c = Peek();
    return c == '=' || c == '<' || c == '>' || c == ':' || (c == '!' && Peek(1) == '=');
  }
  // The comparator after any space; does not move.
  std::optional<Comparator> PeekComparator() {
    const size_t before = at_;
    SkipSpace();
    const auto comparator = TakeComparator();
    at_ = before;
    return comparator;
  }
  std::optional<Comparator> TakeComparator() {
    SkipSpace();
    if (!ComparatorHere()) return std::nullopt;
    const char c = text_[at_++];
    if (c == '=') {
      if (Peek() != '~') return Comparator::kEqual;
      ++at_;
      return Comparator::kEqualIgnoringCase;
    }
    if (c == ':') return Comparator::kHas;
    const bool equal = Peek() == '=';
    if (equal) ++at_;
    if (c == '!') return Comparator::kNotEqual;
    if (c == '<') return equal ? Comparator::kLessEqual : Comparator::kLess;
    return equal ? Comparator::kGreaterEqual : Comparator::kGreater;
  }

  struct Deeper {
    explicit Deeper(Parser& owner) : parser(owner) { ++parser.depth_; }
    ~Deeper() { --parser.depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;
    Parser& parser;
  };

  std::string_view text_;
  const Schema& schema_;
  std::optional<TimePoint> now_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

absl::StatusOr<NodePtr> ParseExpression(std::string_view text, const Schema& schema,
                                        std::optional<TimePoint> now) {
  return Parser(text, schema, now).Run();
}

}  // namespace yagura::filter
