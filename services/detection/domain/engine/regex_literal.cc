#include "services/detection/domain/engine/regex_literal.h"

#include <algorithm>
#include <optional>

#include "common/text/ascii.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/case_fold.h"

namespace yagura::detection {
namespace {

using Literals = std::vector<std::string>;

constexpr size_t kMostAlternatives = 16;
constexpr size_t kMostRepeats = 1000;  // RE2 takes no more
constexpr size_t kMaxLeastSize = 1 << 20;
constexpr int kMaxDepth = 20;
// Few texts have these: looking for one alone is worth it.
constexpr std::string_view kRare = "`^{}+%$&|~#@!*?<>=;[]";

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
  std::optional<RegexNeeds> ReadAlternatives(int depth) {
    if (depth > kMaxDepth) return std::nullopt;
    RegexNeeds all;
    all.least_size = SIZE_MAX;
    bool known = true;
    for (;;) {
      const auto one = ReadSequence(depth);
      if (!one) return std::nullopt;
      known = known && !one->literals.empty();
      all.literals.insert(all.literals.end(), one->literals.begin(), one->literals.end());
      all.least_size = std::min(all.least_size, one->least_size);
      if (at_ >= text_.size() || text_[at_] != '|') break;
      ++at_;
    }
    if (!known || all.literals.size() > kMostAlternatives) all.literals.clear();
    return all;
  }
  bool done() const { return at_ >= text_.size(); }

 private:
  struct Sequence {
    std::string run;   // literal bytes up to here
    size_t last = 0;   // least size of what was read last
    RegexNeeds needs;  // the best literals and the least size so far
  };

  std::optional<RegexNeeds> ReadSequence(int depth) {
    Sequence sequence;
    while (at_ < text_.size() && text_[at_] != '|' && text_[at_] != ')') {
      if (!ReadOne(depth, sequence)) return std::nullopt;
    }
    Keep(sequence);
    return std::move(sequence.needs);
  }

  bool ReadOne(int depth, Sequence& sequence) {
    const char c = text_[at_];
    switch (c) {
      case '(':
        return ReadGroup(depth, sequence);
      case '[':
        Keep(sequence);
        Take(1, sequence);
        return SkipClass();
      case '\\':
        return ReadEscape(sequence);
      case '*':
      case '?':
      case '{':
        if (!sequence.run.empty()) sequence.run.pop_back();  // it may be there no time at all
        Keep(sequence);
        ReadRepeat(sequence);
        return true;
      case '+':
        Keep(sequence);
        ++at_;
        return true;
      case '.':
        Keep(sequence);
        Take(1, sequence);
        ++at_;
        return true;
      case '^':
      case '$':
        Keep(sequence);
        Take(0, sequence);
        ++at_;
        return true;
      default:
        break;
    }
    ++at_;
    if (static_cast<unsigned char>(c) < 0x80) {
      sequence.run += c;
      Take(1, sequence);
    } else {
      // In another case it may have fewer bytes.
      Keep(sequence);
      Take(0, sequence);
    }
    return true;
  }

  bool ReadEscape(Sequence& sequence) {
    if (at_ + 1 >= text_.size()) return false;
    const char c = text_[at_ + 1];
    at_ += 2;
    constexpr std::string_view kControls = "nrtfv";
    constexpr std::string_view kMeanings = "\n\r\t\f\v";
    const size_t control = kControls.find(c);
    if (!IsAsciiAlnum(c) || control != std::string_view::npos) {
      if (static_cast<unsigned char>(c) >= 0x80) return false;
      sequence.run += control == std::string_view::npos ? c : kMeanings[control];
      Take(1, sequence);
      return true;
    }
    Keep(sequence);
    if (std::string_view("dDsSwW").find(c) != std::string_view::npos) {
      Take(1, sequence);
      return true;
    }
    Take(0, sequence);
    return std::string_view("bBAz").find(c) != std::string_view::npos;
  }

  // `*`, `?`, `{n}`, `{n,}` or `{n,m}` after what was read last.
  void ReadRepeat(Sequence& sequence) {
    size_t times = 0;
    const char c = text_[at_++];
    if (c == '{') {
      const size_t end = text_.find_first_not_of("0123456789,", at_);
      // Otherwise the brace stands for itself.
      if (end == std::string_view::npos || text_[end] != '}') {
        Take(0, sequence);
        return;
      }
      for (; at_ < end && text_[at_] != ','; ++at_) {
        times = std::min(times * 10 + static_cast<size_t>(text_[at_] - '0'), kMostRepeats);
      }
      at_ = end + 1;
    }
    auto& least = sequence.needs.least_size;
    least = std::min(least - sequence.last + sequence.last * times, kMaxLeastSize);
    sequence.last = 0;
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

  bool ReadGroup(int depth, Sequence& sequence) {
    Keep(sequence);
    ++at_;
    if (at_ < text_.size() && text_[at_] == '?') {
      const size_t end = text_.find_first_of(":>)", at_);
      if (end == std::string_view::npos) return false;
      at_ = end + 1;
      if (text_[end] == ')') {  // flags for what follows
        Take(0, sequence);
        return true;
      }
    }
    auto inner = ReadAlternatives(depth + 1);
    if (!inner || at_ >= text_.size()) return false;
    ++at_;
    Take(inner->least_size, sequence);
    const char next = at_ < text_.size() ? text_[at_] : '\0';
    if (next != '*' && next != '?' && next != '{') {
      KeepAll(std::move(inner->literals), sequence);
    }
    return true;
  }

  static void Take(size_t size, Sequence& sequence) {
    sequence.last = size;
    sequence.needs.least_size = std::min(sequence.needs.least_size + size, kMaxLeastSize);
  }
  static void Keep(Sequence& sequence) {
    const std::string& run = sequence.run;
    if (run.size() > 1 || (run.size() == 1 && kRare.find(run[0]) != std::string_view::npos)) {
      KeepAll({FoldCase(run)}, sequence);
    }
    sequence.run.clear();
  }
  static void KeepAll(Literals literals, Sequence& sequence) {
    if (Worth(literals) > Worth(sequence.needs.literals)) {
      sequence.needs.literals = std::move(literals);
    }
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

RegexNeeds NeedsOfRegex(std::string_view expression) {
  Reader reader(expression);
  const auto needs = reader.ReadAlternatives(0);
  return needs && reader.done() ? *needs : RegexNeeds{};
}

std::optional<bool> AnyRun::IsIn(std::string_view text) const {
  if (!IsAscii(text)) return std::nullopt;
  if (with_newlines) return text.size() >= least;
  for (;;) {
    const size_t line = std::min(text.find('\n'), text.size());
    if (line >= least) return true;
    if (line == text.size()) return false;
    text.remove_prefix(line + 1);
  }
}

std::optional<AnyRun> AnyRunOfRegex(std::string_view expression) {
  AnyRun run;
  if (expression.starts_with("(?")) {  // flags, of which `s` alone means anything here
    const size_t end = expression.find_first_not_of("ims", 2);
    if (end == std::string_view::npos || expression[end] != ')') return std::nullopt;
    run.with_newlines = expression.substr(2, end - 2).find('s') != std::string_view::npos;
    expression.remove_prefix(end + 1);
  }
  for (const std::string_view any : {".{", "(.){"}) {
    if (!expression.starts_with(any)) continue;
    std::string_view times = expression.substr(any.size());
    if (!times.ends_with('}')) return std::nullopt;
    times.remove_suffix(1);
    if (times.ends_with(',')) times.remove_suffix(1);
    const auto least = ParseNumber<uint32_t>(times);
    if (!least || times.starts_with('0')) return std::nullopt;  // RE2 reads no number there
    run.least = *least;
    return run;
  }
  return std::nullopt;
}

}  // namespace yagura::detection
