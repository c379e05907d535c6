#include "common/filter/pattern.h"

#include <algorithm>
#include <cstdint>

#include "common/text/ascii.h"
#include "common/text/fold.h"
#include "common/text/text.h"

namespace yagura::filter {
namespace {

bool MatchesParts(const std::vector<std::string>& parts, bool anchored, std::string_view value) {
  if (anchored && parts.size() == 1) return value == parts.front();
  size_t from = 0;
  size_t first = 0;
  size_t last = parts.size();
  if (anchored) {
    if (!value.starts_with(parts.front())) return false;
    from = parts.front().size();
    first = 1;
    --last;
  }
  for (size_t i = first; i < last; ++i) {
    const size_t at = value.find(parts[i], from);
    if (at == std::string_view::npos) return false;
    from = at + parts[i].size();
  }
  return !anchored || (value.size() >= from + parts.back().size() && value.ends_with(parts.back()));
}

}  // namespace

Pattern Pattern::Parse(std::string_view text, bool anchored, bool ignore_case) {
  Pattern pattern;
  pattern.anchored_ = anchored;
  pattern.ignore_case_ = ignore_case;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && i + 1 < text.size() &&
        std::string_view("*\\\"'").find(text[i + 1]) != std::string_view::npos) {
      pattern.parts_.back() += text[++i];
    } else if (c == '*') {
      pattern.parts_.emplace_back();
    } else {
      pattern.parts_.back() += c;
    }
  }
  if (ignore_case) {
    for (auto& part : pattern.parts_) part = ToLower(part);
  }
  return pattern;
}

Pattern Pattern::Folded() const {
  Pattern folded = *this;
  for (auto& part : folded.parts_) part = Fold(part);
  folded.ignore_case_ = false;
  return folded;
}

bool Pattern::IsAscii() const {
  return std::all_of(parts_.begin(), parts_.end(),
                     [](const std::string& part) { return yagura::IsAscii(part); });
}

bool Pattern::Matches(std::string_view value) const {
  if (ignore_case_) return MatchesParts(parts_, anchored_, ToLower(value));
  return MatchesParts(parts_, anchored_, value);
}

std::string Pattern::ToLike() const {
  std::string like = "%";
  for (const char c : literal()) {
    if (c == '%' || c == '_' || c == '\\') like += '\\';
    like += c;
  }
  return like + '%';
}

std::string Pattern::ToRegex() const {
  std::string regex = anchored_ ? "^" : "";
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (i > 0) regex += "\\C*";  // any bytes: `.` stops at what is not UTF-8
    for (const char c : parts_[i]) {
      const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                         (c >= 'A' && c <= 'Z') || c == '_' ||
                         (static_cast<uint8_t>(c) & 0x80U) != 0;
      if (c == '\0') {
        regex += "\\x00";
      } else {
        if (!plain) regex += '\\';
        regex += c;
      }
    }
  }
  if (anchored_) regex += '$';
  return regex;
}

}  // namespace yagura::filter
