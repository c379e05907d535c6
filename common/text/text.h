#pragma once

#include <charconv>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "absl/strings/string_view.h"

// Text helpers that the standard library lacks. Debian builds abseil with its own string_view,
// which std::string_view does not convert to: texts are joined with fmt::format and the functions
// here.
namespace yagura {

inline std::string_view Std(absl::string_view text) { return {text.data(), text.size()}; }
inline absl::string_view Absl(std::string_view text) { return {text.data(), text.size()}; }

// Hash maps and sets that are looked up by string_view without making a string.
struct StringHash {
  using is_transparent = void;  // NOLINT(readability-identifier-naming)
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
template <typename Value>
using StringMap = std::unordered_map<std::string, Value, StringHash, std::equal_to<>>;
using StringSet = std::unordered_set<std::string, StringHash, std::equal_to<>>;

// "a,,b" by ',' is {"a", "", "b"}; "" is {""}. The views point into `text`.
std::vector<std::string_view> Split(std::string_view text, char separator);

template <typename Range>
std::string Join(const Range& parts, std::string_view separator) {
  std::string out;
  bool first = true;
  for (const auto& part : parts) {
    if (!first) out += separator;
    first = false;
    out += part;
  }
  return out;
}

// Without ASCII white space at both ends.
std::string_view Trim(std::string_view text);
// ASCII letters only; other bytes stay.
std::string ToLower(std::string_view text);
std::string ToUpper(std::string_view text);
bool EqualsIgnoreCase(std::string_view a, std::string_view b);

// The whole text as a decimal number; nothing where it is not one or does not fit.
template <typename Number>
std::optional<Number> ParseNumber(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

// Lower-case hex.
std::string HexEncode(std::string_view bytes);
// Nothing where the text is not pairs of hex digits.
std::optional<std::string> HexDecode(std::string_view text);
// RFC 4648 with padding.
std::string Base64Encode(std::string_view bytes);
std::optional<std::string> Base64Decode(std::string_view text);
// RFC 4648 section 5, without padding.
std::string Base64UrlEncode(std::string_view bytes);
std::optional<std::string> Base64UrlDecode(std::string_view text);

bool IsValidUtf8(std::string_view text);
// Bytes that are not valid UTF-8 become U+FFFD; what is valid stays.
std::string ToValidUtf8(std::string_view text);
// For HTML text and quoted attribute values. The input becomes valid UTF-8 first.
std::string EscapeHtml(std::string_view text);
// With the quotes, valid JSON whatever the bytes: what is not UTF-8 becomes U+FFFD.
std::string QuoteJson(std::string_view text);
// Makes control characters (terminal escapes above all) visible as "\x1b"; valid UTF-8 stays.
std::string EscapeForTerminal(std::string_view text);

}  // namespace yagura
