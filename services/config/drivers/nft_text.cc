#include "services/config/drivers/nft_text.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "fmt/format.h"

#include "common/text/text.h"

namespace yagura::config {
namespace {

constexpr int kMostNesting = 16;

enum class TokenKind { kWord, kQuoted, kOpen, kClose, kComma, kEnd };  // kEnd: ";" or a new line

struct Token {
  TokenKind kind;
  std::string_view text;
};

bool IsOperator(char c) { return c == '=' || c == '!' || c == '<' || c == '>'; }
bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

// The length of the word at the front, which is no blank and no sign of its own.
size_t WordLength(std::string_view text) {
  // A secret's mark is one word.
  if (text.starts_with("<secret:")) {
    if (const size_t end = text.find('>'); end != std::string_view::npos) return end + 1;
  }
  const bool is_operator = IsOperator(text.front());
  size_t length = 1;
  while (length < text.size()) {
    const char c = text[length];
    if (IsBlank(c) || std::string_view("\n;,{}\"#").find(c) != std::string_view::npos) break;
    if (IsOperator(c) != is_operator) break;
    ++length;
  }
  return length;
}

// Nothing where a quotation does not end. As nft's scanner: no escapes, a "#" outside of quotes
// begins a comment to the end of its line, a backslash before a line's end joins lines.
std::optional<std::vector<Token>> Scan(std::string_view text) {
  std::vector<Token> tokens;
  while (!text.empty()) {
    const char c = text.front();
    size_t length = 1;
    if (text.starts_with("\\\n")) {
      length = 2;
    } else if (c == '#') {
      length = std::min(text.find('\n'), text.size());
    } else if (c == '"') {
      const size_t end = text.find('"', 1);
      if (end == std::string_view::npos) return std::nullopt;
      length = end + 1;
      tokens.push_back({TokenKind::kQuoted, text.substr(0, length)});
    } else if (c == '\n' || c == ';') {
      tokens.push_back({TokenKind::kEnd, text.substr(0, 1)});
    } else if (c == '{') {
      tokens.push_back({TokenKind::kOpen, text.substr(0, 1)});
    } else if (c == '}') {
      tokens.push_back({TokenKind::kClose, text.substr(0, 1)});
    } else if (c == ',') {
      tokens.push_back({TokenKind::kComma, text.substr(0, 1)});
    } else if (!IsBlank(c)) {
      length = WordLength(text);
      tokens.push_back({TokenKind::kWord, text.substr(0, length)});
    }
    text.remove_prefix(length);
  }
  return tokens;
}

// Numbers within by their value: 22 before 443, 10.0.0.9 before 10.0.0.10.
bool NaturallyLess(std::string_view a, std::string_view b) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto take_number = [&](std::string_view& text) {
    size_t length = 0;
    while (length < text.size() && is_digit(text[length])) ++length;
    std::string_view number = text.substr(0, length);
    text.remove_prefix(length);
    while (number.size() > 1 && number.front() == '0') number.remove_prefix(1);
    return number;
  };
  const std::string_view whole_a = a;
  const std::string_view whole_b = b;
  while (!a.empty() && !b.empty()) {
    if (is_digit(a.front()) && is_digit(b.front())) {
      const auto x = take_number(a);
      const auto y = take_number(b);
      if (x != y) return std::pair(x.size(), x) < std::pair(y.size(), y);
      continue;
    }
    if (a.front() != b.front()) return a.front() < b.front();
    a.remove_prefix(1);
    b.remove_prefix(1);
  }
  if (a.empty() != b.empty()) return a.empty();
  return whole_a < whole_b;
}

struct Statement;

// A word, a set in braces, or a block of statements.
struct Item {
  std::string word;
  bool is_set = false;
  std::vector<std::string> elements;  // of a set, in order
  bool is_block = false;
  std::vector<Statement> statements;
};

struct Statement {
  std::vector<Item> items;

  std::string_view Word(size_t index) const {
    return index < items.size() ? std::string_view(items[index].word) : std::string_view();
  }
  bool IsDefinition() const { return !items.empty() && items.back().is_block; }
};

std::string TextOf(const std::vector<Item>& items);

std::string TextOf(const Item& item) {
  if (!item.is_set) return item.word;
  return item.elements.empty() ? "{ }" : fmt::format("{{ {} }}", Join(item.elements, ", "));
}

// On one line; blocks are the writer's.
std::string TextOf(const std::vector<Item>& items) {
  std::string text;
  bool glued = true;
  for (const Item& item : items) {
    const bool is_comma = item.word == ",";
    if (!glued && !is_comma) text += ' ';
    text += TextOf(item);
    glued = is_comma;
  }
  return text;
}

enum class Place { kTop, kTable, kInside };

bool OpensBlock(Place place, const Statement& statement) {
  static constexpr std::array<std::string_view, 10> kObjects = {
      "chain", "set", "map", "flowtable", "counter", "quota", "limit", "ct", "secmark", "synproxy"};
  const std::string_view last = statement.Word(statement.items.size() - 1);
  if (last == "jump" || last == "goto") return true;  // an anonymous chain
  if (place == Place::kTop) return statement.Word(0) == "table";
  return place == Place::kTable &&
         std::find(kObjects.begin(), kObjects.end(), statement.Word(0)) != kObjects.end();
}

class Parser {
 public:
  explicit Parser(const std::vector<Token>& tokens) : tokens_(tokens) {}

  std::optional<std::vector<Statement>> All() {
    auto statements = Statements(Place::kTop, 0);
    if (!statements || at_ != tokens_.size()) return std::nullopt;
    return statements;
  }

 private:
  // Up to a closing brace, which stays, or the end.
  std::optional<std::vector<Statement>> Statements(Place place, int depth) {
    if (depth > kMostNesting) return std::nullopt;
    std::vector<Statement> statements;
    Statement statement;
    const auto finish = [&] {
      if (!statement.items.empty()) statements.push_back(std::move(statement));
      statement = {};
    };
    while (at_ < tokens_.size() && tokens_[at_].kind != TokenKind::kClose) {
      const Token& token = tokens_[at_++];
      if (token.kind == TokenKind::kEnd) {
        finish();
        continue;
      }
      Item item;
      if (token.kind == TokenKind::kOpen) {
        if (statement.items.empty()) return std::nullopt;
        if (OpensBlock(place, statement)) {
          const Place inside = place == Place::kTop ? Place::kTable : Place::kInside;
          auto inner = Statements(inside, depth + 1);
          if (!inner) return std::nullopt;
          item.is_block = true;
          item.statements = *std::move(inner);
        } else {
          auto elements = Elements(depth + 1);
          if (!elements) return std::nullopt;
          item.is_set = true;
          item.elements = *std::move(elements);
        }
        if (at_ == tokens_.size()) return std::nullopt;
        ++at_;  // the closing brace
        const bool defines = item.is_block && place != Place::kInside;
        statement.items.push_back(std::move(item));
        if (defines) finish();
        continue;
      }
      item.word = token.text;
      statement.items.push_back(std::move(item));
    }
    finish();
    return statements;
  }

  // Up to the closing brace, which stays. What is in a set has no order.
  std::optional<std::vector<std::string>> Elements(int depth) {
    if (depth > kMostNesting) return std::nullopt;
    std::vector<std::string> elements;
    std::vector<Item> element;
    const auto finish = [&] {
      if (!element.empty()) elements.push_back(TextOf(element));
      element.clear();
    };
    while (at_ < tokens_.size() && tokens_[at_].kind != TokenKind::kClose) {
      const Token& token = tokens_[at_++];
      if (token.kind == TokenKind::kComma) {
        finish();
      } else if (token.kind == TokenKind::kOpen) {
        // A chain within has an order.
        if (!element.empty() && (element.back().word == "jump" || element.back().word == "goto")) {
          return std::nullopt;
        }
        auto inner = Elements(depth + 1);
        if (!inner || at_ == tokens_.size()) return std::nullopt;
        ++at_;
        Item item;
        item.is_set = true;
        item.elements = *std::move(inner);
        element.push_back(std::move(item));
      } else if (token.kind == TokenKind::kEnd) {
        if (token.text == ";") return std::nullopt;  // no set
      } else {
        element.emplace_back().word = token.text;
      }
    }
    finish();
    std::sort(elements.begin(), elements.end(), NaturallyLess);
    return elements;
  }

  const std::vector<Token>& tokens_;
  size_t at_ = 0;
};

using Priorities = std::array<std::pair<std::string_view, int>, 7>;

const Priorities& PrioritiesOf(std::string_view family) {
  static constexpr Priorities kBridge = {{{"dstnat", -300},
                                          {"filter", -200},
                                          {"out", 100},
                                          {"srcnat", 300},
                                          {"", 0},
                                          {"", 0},
                                          {"", 0}}};
  static constexpr Priorities kOthers = {{{"raw", -300},
                                          {"mangle", -150},
                                          {"dstnat", -100},
                                          {"filter", 0},
                                          {"security", 50},
                                          {"srcnat", 100},
                                          {"", 0}}};
  return family == "bridge" ? kBridge : kOthers;
}

// "priority filter + 10", "priority -150": as a name where there is one, else as a number.
void SetPriority(std::string_view family, Statement& statement) {
  auto& items = statement.items;
  const auto find = [&](auto from, std::string_view word) {
    return std::find_if(from, items.end(), [word](const Item& item) { return item.word == word; });
  };
  const auto found = find(find(items.begin(), "hook"), "priority");
  if (found == items.end()) return;
  const auto at = static_cast<size_t>(found - items.begin());
  const Priorities& names = PrioritiesOf(family);
  const auto named = std::find_if(names.begin(), names.end(), [&](const auto& name) {
    return !name.first.empty() && name.first == statement.Word(at + 1);
  });
  auto value = named != names.end() ? std::optional<int>(named->second)
                                    : ParseNumber<int>(statement.Word(at + 1));
  size_t words = 1;
  const std::string_view sign = statement.Word(at + 2);
  if (value && (sign == "+" || sign == "-")) {
    const auto offset = ParseNumber<int>(statement.Word(at + 3));
    if (!offset || *offset > 1'000'000 || *offset < 0) return;
    value = static_cast<int>(std::int64_t{*value} + (sign == "+" ? *offset : -*offset));
    words = 3;
  }
  if (!value) return;
  const auto standard = std::find_if(names.begin(), names.end(), [&](const auto& name) {
    return !name.first.empty() && name.second == *value;
  });
  items[at + 1].word =
      standard != names.end() ? std::string(standard->first) : std::to_string(*value);
  items.erase(items.begin() + static_cast<ptrdiff_t>(at) + 2,
              items.begin() + static_cast<ptrdiff_t>(at) + 1 + static_cast<ptrdiff_t>(words));
}

bool NamesInterface(std::string_view word) {
  return word == "iif" || word == "oif" || word == "iifname" || word == "oifname" ||
         word == "device" || word == "devices";
}

std::string Quoted(const std::string& word) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const bool is_name = std::all_of(word.begin(), word.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '.' ||
           c == '-' || c == '_' || c == '*';
  });
  // A number is the index of one.
  return is_name && !std::all_of(word.begin(), word.end(), is_digit) ? fmt::format("\"{}\"", word)
                                                                     : word;
}

// nft quotes names of interfaces.
void QuoteInterfaces(Statement& statement) {
  auto& items = statement.items;
  const auto is_fib = [](const Item& item) { return item.word == "fib"; };
  if (std::any_of(items.begin(), items.end(), is_fib)) return;
  for (size_t i = 0; i + 1 < items.size(); ++i) {
    if (!NamesInterface(items[i].word) || (i > 0 && items[i - 1].word == ".")) continue;
    const std::string_view next = items[i + 1].word;
    const size_t at = next == "=" || next == "==" || next == "!=" ? i + 2 : i + 1;
    if (at >= items.size()) continue;
    if (items[at].is_set) {
      for (std::string& element : items[at].elements) element = Quoted(element);
      std::sort(items[at].elements.begin(), items[at].elements.end(), NaturallyLess);
    } else if (items[at].word != "vmap" && items[at].word != "map" && items[at].word != ".") {
      items[at].word = Quoted(items[at].word);
    }
  }
}

// "counter packets 5 bytes 300": a rule's own count is no configuration.
void DropCounts(Statement& statement) {
  auto& items = statement.items;
  for (size_t i = 0; i + 4 < items.size(); ++i) {
    if (items[i].word != "counter" || items[i + 1].word != "packets" ||
        items[i + 3].word != "bytes") {
      continue;
    }
    items.erase(items.begin() + static_cast<ptrdiff_t>(i) + 1,
                items.begin() + static_cast<ptrdiff_t>(i) + 5);
  }
}

// "flags timeout, dynamic": flags have no order.
void SortFlags(Statement& statement) {
  auto& items = statement.items;
  if (statement.Word(0) != "flags") return;
  std::vector<std::string> flags;
  for (size_t i = 1; i < items.size(); ++i) {
    if (items[i].word != ",") flags.push_back(TextOf(items[i]));
  }
  std::sort(flags.begin(), flags.end());
  items.resize(1);
  items.emplace_back().word = Join(flags, ",");
}

// nft lists objects, then sets and maps, then flowtables, then chains.
int Rank(const Statement& statement) {
  const std::string_view what = statement.Word(0);
  if (!statement.IsDefinition()) return 0;
  if (what == "chain") return 4;
  if (what == "flowtable") return 3;
  return what == "set" || what == "map" ? 2 : 1;
}

// Of what is said of a set: its type first, its elements last.
int PartRank(const Statement& statement) {
  if (statement.Word(0) == "elements") return 2;
  return statement.Word(0) == "type" || statement.Word(0) == "typeof" ? 0 : 1;
}

class Writer {
 public:
  std::string Write(std::vector<Statement> statements) {
    for (size_t i = 0; i < statements.size(); ++i) {
      Statement& statement = statements[i];
      const bool is_flush = statement.items.size() == 2 && statement.Word(0) == "flush" &&
                            statement.Word(1) == "ruleset";
      if (i == 0 && is_flush) continue;  // a candidate replaces everything anyway
      if (statement.IsDefinition() && statement.Word(0) == "table") {
        WriteTable(statement);
      } else {
        Line(0, TextOf(statement.items));
      }
    }
    return std::move(text_);
  }

 private:
  void Line(int depth, std::string_view text) {
    text_.append(static_cast<size_t>(depth), '\t');
    text_ += text;
    text_ += '\n';
  }

  void WriteTable(Statement& table) {
    auto& items = table.items;
    if (items.size() == 3) {
      Item family;
      family.word = "ip";
      items.insert(items.begin() + 1, std::move(family));
    }
    family_ = items[1].word;
    Open(0, table);
    auto& inner = items.back().statements;
    std::stable_sort(inner.begin(), inner.end(),
                     [](const Statement& a, const Statement& b) { return Rank(a) < Rank(b); });
    bool first = true;
    for (Statement& statement : inner) {
      const bool is_block = statement.IsDefinition();
      if (is_block && !first) text_ += '\n';
      first = false;
      if (!is_block) {
        Line(1, TextOf(statement.items));
        continue;
      }
      Open(1, statement);
      WriteInner(2, statement.Word(0), statement.items.back().statements);
      Line(1, "}");
    }
    Line(0, "}");
  }

  void Open(int depth, const Statement& statement) {
    const auto& items = statement.items;
    const std::vector<Item> head(items.begin(), items.end() - 1);
    Line(depth, TextOf(head) + " {");
  }

  // What is in a chain, a set, ...
  void WriteInner(int depth, std::string_view what, std::vector<Statement>& statements) {
    for (Statement& statement : statements) {
      SetPriority(family_, statement);
      QuoteInterfaces(statement);
      DropCounts(statement);
      SortFlags(statement);
    }
    if (what == "chain") WriteHead(depth, statements);
    if (what == "set" || what == "map") {
      std::stable_sort(statements.begin(), statements.end(), [](const auto& a, const auto& b) {
        return std::pair(PartRank(a), a.Word(0)) < std::pair(PartRank(b), b.Word(0));
      });
    }
    for (const Statement& statement : statements) {
      if (statement.Word(0) == "elements") {
        WriteElements(depth, statement);
      } else {
        WriteRule(depth, statement);
      }
    }
  }

  // Of a chain: its comment, then "type filter hook input priority filter; policy accept;".
  void WriteHead(int depth, std::vector<Statement>& statements) {
    const auto take = [&statements](std::string_view word) -> std::optional<std::string> {
      const auto found = std::find_if(statements.begin(), statements.end(),
                                      [word](const Statement& one) { return one.Word(0) == word; });
      if (found == statements.end()) return std::nullopt;
      std::string text = TextOf(found->items);
      statements.erase(found);
      return text;
    };
    if (const auto comment = take("comment")) Line(depth, *comment);
    const auto type = take("type");
    const auto policy = take("policy");
    if (type) Line(depth, fmt::format("{}; {};", *type, policy.value_or("policy accept")));
    if (!type && policy) Line(depth, *policy);
  }

  // A line each, so that of a long set only what differs is shown.
  void WriteElements(int depth, const Statement& statement) {
    const auto& items = statement.items;
    if (!items.back().is_set) return Line(depth, TextOf(items));
    const std::vector<Item> head(items.begin(), items.end() - 1);
    Line(depth, TextOf(head) + " {");
    for (const std::string& element : items.back().elements) Line(depth + 1, element + ",");
    Line(depth, "}");
  }

  // A rule may have an anonymous chain within.
  void WriteRule(int depth, const Statement& statement) {
    std::vector<Item> part;
    for (const Item& item : statement.items) {
      if (!item.is_block) {
        part.push_back(item);
        continue;
      }
      Line(depth, TextOf(part) + " {");
      part.clear();
      std::vector<Statement> inner = item.statements;
      WriteInner(depth + 1, "", inner);
      part.emplace_back().word = "}";
    }
    Line(depth, TextOf(part));
  }

  std::string family_;
  std::string text_;
};

}  // namespace

std::optional<std::string> NormalNftText(std::string_view text) {
  const auto tokens = Scan(text);
  if (!tokens) return std::nullopt;
  auto statements = Parser(*tokens).All();
  if (!statements) return std::nullopt;
  return Writer().Write(*std::move(statements));
}

}  // namespace yagura::config
