#include "services/detection/domain/engine/regex_literal.h"

#include <algorithm>
#include <optional>

#include "services/detection/domain/engine/case_fold.h"

namespace yagura::detection {
namespace {

using Literals = std::vector<std::string>;

constexpr size_t kLeastSize = 2;
constexpr size_t kMostAlternatives = 16;
constexpr int kMaxDepth = 20;

bool IsAsciiAlnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// How good literals are to look for: the size of the shortest.
size_t Worth(const Literals& literals) {
  size_t least = literals.empty() ? 0 : SIZE_MAX;
  for (const auto& literal : literals) least = std::min(least, literal.size());
  return least;
}

// Reads an expression as far as it is understood; gives up (nullopt) on everything else.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  // Alternatives up to the closing parenthesis of this level, or the end.
  std::optional<Literals> ReadAlternatives(int depth) {
    if (depth > kMaxDepth) return std::nullopt;
    Literals all;
    bool known = true;
    for (;;) {
      const auto one = ReadSequence(depth);
      if (!one) return std::nullopt;
      known = known && !one->empty();
      all.insert(all.end(), one->begin(), one->end());
      if (at_ >= text_.size() || text_[at_] != '|') break;
      ++at_;
    }
    if (!known || all.size() > kMostAlternatives) all.clear();
    return all;
  }
  bool done() const { return at_ >= text_.size(); }

 private:
  std::optional<Literals> ReadSequence(int depth) {
    best_stack_.emplace_back();
    std::string run;
    while (at_ < text_.size() && text_[at_] != '|' && text_[at_] != ')') {
      if (!ReadOne(depth, run)) return std::nullopt;
    }
    Keep(run);
    Literals best = std::move(best_stack_.back());
    best_stack_.pop_back();
    return best;
  }

  bool ReadOne(int depth, std::string& run) {
    const char c = text_[at_];
    switch (c) {
      case '(':
        return ReadGroup(depth, run);
      case '[':
        Keep(run);
        return SkipClass();
      case '\\':
        return ReadEscape(run);
      case '*':
      case '?':
      case '{':
        if (!run.empty()) run.pop_back();  // it may be there no time at all
        Keep(run);
        return SkipRepeat();
      case '.':
      case '^':
      case '$':
      case '+':
        Keep(run);
        ++at_;
        return true;
      default:
        break;
    }
    ++at_;
    if (static_cast<unsigned char>(c) < 0x80) {
      run += c;
    } else {
      Keep(run);
    }
    return true;
  }

  bool ReadEscape(std::string& run) {
    if (at_ + 1 >= text_.size()) return false;
    const char c = text_[at_ + 1];
    at_ += 2;
    if (!IsAsciiAlnum(c)) {
      if (static_cast<unsigned char>(c) >= 0x80) return false;
      run += c;
      return true;
    }
    Keep(run);
    return std::string_view("dDsSwWbBAzntrfv").find(c) != std::string_view::npos;
  }

  bool SkipRepeat() {
    if (text_[at_] != '{') {
      ++at_;
      return true;
    }
    const size_t end = text_.find_first_not_of("0123456789,", at_ + 1);
    // Otherwise the brace stands for itself.
    at_ = end != std::string_view::npos && text_[end] == '}' ? end + 1 : at_ + 1;
    return true;
  }

  bool SkipClass() {
    ++at_;
    if (at_ < text_.size() && text_[at_] == '^') ++at_;
    if (at_ < text_.size() && text_[at_] == ']') ++at_;
    while (at_ < text_.size() && text_[at_] != ']') {
      if (text_.substr(at_).starts_with("[:")) {
        const size_t end = text_.find(":]", at_ + 2);
        if (end == std::string_view::npos) return false;
        at_ = end + 2;
      } else {
        at_ += text_[at_] == '\\' ? 2 : 1;
      }
    }
    if (at_ >= text_.size()) return false;
    ++at_;
    return true;
  }

  bool ReadGroup(int depth, std::string& run) {
    Keep(run);
    ++at_;
    if (at_ < text_.size() && text_[at_] == '?') {
      const size_t end = text_.find_first_of(":>)", at_);
      if (end == std::string_view::npos) return false;
      at_ = end + 1;
      if (text_[end] == ')') return true;  // flags for what follows
    }
    auto inner = ReadAlternatives(depth + 1);
    if (!inner || at_ >= text_.size()) return false;
    ++at_;
    const char next = at_ < text_.size() ? text_[at_] : '\0';
    if (next != '*' && next != '?' && next != '{') KeepAll(std::move(*inner));
    return true;
  }

  void Keep(std::string& run) {
    if (run.size() >= kLeastSize) KeepAll({FoldCase(run)});
    run.clear();
  }
  void KeepAll(Literals literals) {
    if (Worth(literals) > Worth(best_stack_.back())) best_stack_.back() = std::move(literals);
  }

  std::string_view text_;
  size_t at_ = 0;
  std::vector<Literals> best_stack_;
};

}  // namespace

std::vector<std::string> RequiredLiterals(std::string_view expression) {
  Reader reader(expression);
  const auto literals = reader.ReadAlternatives(0);
  return literals && reader.done() ? *literals : std::vector<std::string>();
}

}  // namespace yagura::detection
