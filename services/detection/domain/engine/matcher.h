#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "services/detection/domain/engine/pattern.h"
#include "services/detection/domain/engine/regex_literal.h"
#include "services/detection/domain/engine/time_part.h"

namespace re2 {
class RE2;
}

namespace yagura::detection {

// One distinct value of a column as the matchers see it.
struct MatchValue {
  std::string_view text;
  std::string_view folded;  // FoldCase(text)
};

// A test on one value: what a Sigma value with its modifiers becomes. Immutable.
class Matcher {
 public:
  enum class Kind {
    kEquals,
    kStartsWith,
    kEndsWith,
    kContains,
    kGlob,
    kRegex,
    kCidr,
    kLess,
    kLessEqual,
    kGreater,
    kGreaterEqual,
    kTimePart
  };
  // How a text sits in the value, before its own wildcards are looked at.
  enum class Placement { kWhole, kStart, kEnd, kAnywhere };

  // Letters match in either case unless `cased`.
  static Matcher Text(const Pattern& pattern, Placement placement, bool cased);
  // RE2 syntax, found anywhere. `flags` of "i", "m", "s". INVALID_ARGUMENT where RE2 refuses it,
  // or where it is so large that each value would take long.
  static absl::StatusOr<Matcher> Regex(std::string_view expression, std::string_view flags);
  // "10.0.0.0/8" or one address; values that are no addresses do not match.
  static absl::StatusOr<Matcher> Cidr(std::string_view block);
  // `kind` is one of the orderings; values that are no numbers do not match.
  static absl::StatusOr<Matcher> Compare(Kind kind, std::string_view number);
  // The part of a date is `number` (kEquals) or stands to it as one of the orderings says. Values
  // that are no dates (time_part.h) do not match. INVALID_ARGUMENT where no date can have it.
  static absl::StatusOr<Matcher> Time(TimePart part, Kind relation, std::string_view number);

  bool Matches(const MatchValue& value) const;
  // Whether it looks at the folded text; otherwise that need not be there.
  bool needs_folded() const { return kind_ <= Kind::kGlob && !cased_; }

  Kind kind() const { return kind_; }
  bool cased() const { return cased_; }
  // Of a kEquals, kStartsWith, kEndsWith or kContains: what is looked for, folded unless cased.
  const std::string& text() const { return text_; }
  // Of a kGlob: what the whole value must look like, folded unless cased.
  const Pattern& pattern() const { return glob_; }
  // Of a kCidr: the first and the last address.
  const std::array<uint8_t, 16>& low() const { return low_; }
  const std::array<uint8_t, 16>& high() const { return high_; }
  // Texts of which one at least is in the folded text of every value that passes; none where
  // nothing is known.
  std::vector<std::string> RequiredLiterals() const;
  // The same test always has the same key; another test never has.
  std::string Key() const;
  // Instructions of a kRegex, what its time is at most in proportion to; else 0.
  size_t regex_size() const { return regex_size_; }
  // How dear a test is, to do the cheap ones first.
  int cost() const;

 private:
  bool MatchesGlob(std::string_view value) const;
  bool MatchesRegex(std::string_view value) const;
  bool MatchesCidr(std::string_view value) const;
  bool MatchesNumber(std::string_view value) const;
  bool MatchesTime(std::string_view value) const;

  Kind kind_ = Kind::kEquals;
  bool cased_ = false;
  std::string text_;  // folded unless cased; for other than texts as written
  Pattern glob_;
  std::shared_ptr<const re2::RE2> regex_;
  size_t least_size_ = 0;  // of what the regular expression matches
  std::optional<AnyRun> any_run_;
  size_t regex_size_ = 0;
  std::array<uint8_t, 16> low_{};
  std::array<uint8_t, 16> high_{};
  double number_ = 0;
  TimePart time_part_ = TimePart::kMinute;
  Kind relation_ = Kind::kEquals;  // of a time part to the number
};

}  // namespace yagura::detection
