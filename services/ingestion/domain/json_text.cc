#include "services/ingestion/domain/json_text.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>

#include "fmt/format.h"

#include "common/text/text.h"

namespace yagura::ingestion {
namespace {

constexpr uint32_t kHighSurrogate = 0xd800;
constexpr uint32_t kLowSurrogate = 0xdc00;
constexpr uint32_t kPastSurrogates = 0xe000;
constexpr size_t kUnicodeEscape = 6;  // "\u0041"

// The unit that "\u0041" at the front of `text` says.
std::optional<uint32_t> UnitOf(std::string_view text) {
  if (text.size() < kUnicodeEscape || !text.starts_with("\\u")) return std::nullopt;
  uint32_t unit = 0;
  const char* const end = text.data() + kUnicodeEscape;
  const auto read = std::from_chars(text.data() + 2, end, unit, 16);
  if (read.ptr != end) return std::nullopt;
  return unit;
}

void AppendUtf8(uint32_t code, std::string* out) {
  const auto add = [out](uint32_t byte) { *out += static_cast<char>(byte); };
  const auto add_rest = [&](int shift) { add(0x80 | (code >> shift & 0x3f)); };
  if (code < 0x80) {
    add(code);
  } else if (code < 0x800) {
    add(0xc0 | code >> 6);
    add_rest(0);
  } else if (code < 0x10000) {
    add(0xe0 | code >> 12);
    add_rest(6);
    add_rest(0);
  } else {
    add(0xf0 | code >> 18);
    add_rest(12);
    add_rest(6);
    add_rest(0);
  }
}

// The escape at the front of `text`; answers how long it is.
size_t TakeEscape(std::string_view text, std::string* out) {
  if (const auto unit = UnitOf(text)) {
    uint32_t code = *unit;
    size_t size = kUnicodeEscape;
    if (code >= kHighSurrogate && code < kPastSurrogates) {
      const auto low = UnitOf(text.substr(kUnicodeEscape));
      const bool is_pair =
          code < kLowSurrogate && low && *low >= kLowSurrogate && *low < kPastSurrogates;
      code = is_pair ? 0x10000 + ((code - kHighSurrogate) << 10) + (*low - kLowSurrogate) : 0xfffd;
      if (is_pair) size += kUnicodeEscape;
    }
    AppendUtf8(code, out);
    return size;
  }
  constexpr std::string_view kEscapes = "\"\\/bfnrt";
  constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
  const size_t known = text.size() < 2 ? text.npos : kEscapes.find(text[1]);
  if (known == text.npos) {
    *out += '\\';
    return 1;
  }
  *out += kMeanings[known];
  return 2;
}

}  // namespace

std::string UnescapeJson(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t plain = std::min(text.find_first_of("\"\\"), text.size());
    out += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty() || text.front() == '"') break;
    text.remove_prefix(TakeEscape(text, &out));
  }
  return out;
}

std::string RepairJsonObject(std::string_view text) {
  if (!text.starts_with('{')) return "";
  std::string out;
  out.reserve(text.size());
  std::string open;  // the brackets that close what is open
  bool in_string = false;
  bool escaped = false;
  for (const char c : ToValidUtf8(text)) {
    if (in_string) {
      if (static_cast<unsigned char>(c) < 0x20) {
        if (escaped) out += '\\';  // it escapes nothing
        out += fmt::format("\\u{:04x}", c);
        escaped = false;
        continue;
      }
      out += c;
      in_string = escaped || c != '"';
      escaped = !escaped && c == '\\';
      continue;
    }
    if (c == '}' || c == ']') {
      if (open.back() != c) break;
      open.pop_back();
    } else if (c == '{' || c == '[') {
      open += c == '{' ? '}' : ']';
    }
    in_string = c == '"';
    out += c;
    if (open.empty()) return out;
  }
  if (in_string) out += escaped ? "\\\"" : "\"";
  out.append(open.rbegin(), open.rend());
  return out;
}

}  // namespace yagura::ingestion
