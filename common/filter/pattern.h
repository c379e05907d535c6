#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace yagura::filter {

// Text with wildcards, as literal parts between the `*`. "a*b" is {"a", "b"}.
class Pattern {
 public:
  Pattern() = default;
  // `text` with the filter grammar's escapes (\* \\ \" \'). Anchored: the whole value must fit,
  // else any place in it. Ignoring case is for ASCII letters only.
  static Pattern Parse(std::string_view text, bool anchored, bool ignore_case);

  // The same over folded text (common/text/fold.h).
  Pattern Folded() const;

  bool IsAscii() const;  // all of its text
  bool Matches(std::string_view value) const;
  bool has_wildcards() const { return parts_.size() > 1; }
  bool anchored() const { return anchored_; }
  bool ignore_case() const { return ignore_case_; }
  // The text where there are no wildcards; lower case where case is ignored.
  const std::string& literal() const { return parts_.front(); }
  // For SQL, over a lower-cased value where case is ignored. The literal anywhere, as a LIKE
  // pattern:
  std::string ToLike() const;
  // Any pattern, as an RE2 expression that takes values which are not UTF-8, too.
  std::string ToRegex() const;
  // "abc*" and "*abc".
  bool is_prefix() const { return anchored_ && parts_.size() == 2 && parts_.back().empty(); }
  bool is_suffix() const { return anchored_ && parts_.size() == 2 && parts_.front().empty(); }
  const std::string& first_part() const { return parts_.front(); }
  const std::string& last_part() const { return parts_.back(); }

 private:
  std::vector<std::string> parts_{""};
  bool anchored_ = true;
  bool ignore_case_ = false;
};

}  // namespace yagura::filter
