#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace re2 {
class RE2;
}

namespace yagura::detection {

// One distinct value of a column as the matchers see it.
struct MatchValue {
  std::string_view text;
  std::string_view lower;  // ASCII lower case of `text`
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
    kGreaterEqual
  };
  // How a text sits in the value, before its own wildcards are looked at.
  enum class Placement { kWhole, kStart, kEnd, kAnywhere };

  // `text` with Sigma's wildcards and escapes: `*`, `?`, `\*`, `\?`, `\\`; any other backslash is
  // itself. Letters of ASCII match in either case unless `cased`.
  static Matcher Text(std::string_view text, Placement placement, bool cased);
  // RE2 syntax, found anywhere. `flags` of "i", "m", "s". INVALID_ARGUMENT where RE2 refuses it.
  static absl::StatusOr<Matcher> Regex(std::string_view expression, std::string_view flags);
  // "10.0.0.0/8" or one address; values that are no addresses do not match.
  static absl::StatusOr<Matcher> Cidr(std::string_view block);
  // `kind` is one of the orderings; values that are no numbers do not match.
  static absl::StatusOr<Matcher> Compare(Kind kind, std::string_view number);

  bool Matches(const MatchValue& value) const;

  Kind kind() const { return kind_; }
  // The same test always has the same key; another test never has.
  std::string Key() const;
  // How dear a test is, to do the cheap ones first.
  int cost() const;

 private:
  static constexpr uint16_t kStar = 256;
  static constexpr uint16_t kOne = 257;

  bool MatchesGlob(std::string_view value) const;
  bool MatchesCidr(std::string_view value) const;
  bool MatchesNumber(std::string_view value) const;

  Kind kind_ = Kind::kEquals;
  bool cased_ = false;
  std::string text_;  // lower case unless cased; for kRegex and kCidr as written
  std::vector<uint16_t> glob_;
  std::shared_ptr<const re2::RE2> regex_;
  std::array<uint8_t, 16> low_{};
  std::array<uint8_t, 16> high_{};
  double number_ = 0;
};

}  // namespace yagura::detection
