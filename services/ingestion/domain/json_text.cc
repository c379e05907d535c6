#include "services/ingestion/domain/json_text.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>

#include "fmt/format.h"

#include "common/text/fold.h"
#include "common/text/text.h"

namespace yagura::ingestion {
namespace {

constexpr uint32_t kHighSurrogate = 0xd800;
constexpr uint32_t kLowSurrogate = 0xdc00;
constexpr uint32_t kPastSurrogates = 0xe000;
constexpr size_t kUnicodeEscape = 6;  // "\u0041"

constexpr std::string_view kBlanks = " \t\r\n";

void SkipBlanks(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
}

// Takes the blanks at the front and `c` behind them; false where another stands there.
bool Take(char c, std::string_view& text) {
  SkipBlanks(text);
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

// Of the string that `text` begins with, with its quotes; npos: it does not end.
size_t StringSize(std::string_view text) {
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') return i + 1;
    if (text[i] == '\\') ++i;
  }
  return text.npos;
}

// Of the object or array that `text` begins with; npos: it does not end, or its brackets do not
// match.
size_t ContainerSize(std::string_view text) {
  std::string open;  // the brackets that close what is open
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      const size_t size = StringSize(text.substr(i));
      if (size == text.npos) return size;
      i += size - 1;
    } else if (c == '{' || c == '[') {
      open += c == '{' ? '}' : ']';
    } else if (c == '}' || c == ']') {
      if (open.back() != c) return text.npos;
      open.pop_back();
      if (open.empty()) return i + 1;
    }
  }
  return text.npos;
}

// The unit that "\u0041" at the front of `text` says.
std::optional<uint32_t> UnitOf(std::string_view text) {
  if (text.size() < kUnicodeEscape || !text.starts_with("\\u")) return std::nullopt;
  uint32_t unit = 0;
  const char* const end = text.data() + kUnicodeEscape;
  const auto read = std::from_chars(text.data() + 2, end, unit, 16);
  if (read.ptr != end) return std::nullopt;
  return unit;
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

std::string_view TakeJsonValue(std::string_view& text) {
  SkipBlanks(text);
  size_t size = 0;
  if (text.starts_with('"')) {
    size = StringSize(text);
  } else if (text.starts_with('{') || text.starts_with('[')) {
    size = ContainerSize(text);
  } else {
    size = std::min(text.find_first_of(",:{}[]\" \t\r\n"), text.size());
  }
  if (size == text.npos) return {};
  const std::string_view value = text.substr(0, size);
  text.remove_prefix(size);
  return value;
}

bool ForEachJsonPair(std::string_view object,
                     absl::FunctionRef<void(std::string name, std::string_view value)> take) {
  if (!Take('{', object)) return false;
  if (Take('}', object)) return true;
  do {
    SkipBlanks(object);
    if (!object.starts_with('"')) return false;
    const std::string_view name = TakeJsonValue(object);
    if (name.empty() || !Take(':', object)) return false;
    const std::string_view value = TakeJsonValue(object);
    if (value.empty()) return false;
    take(JsonValueText(name), value);
  } while (Take(',', object));
  return Take('}', object);
}

std::string JsonValueText(std::string_view value) {
  if (value.starts_with('"')) return UnescapeJson(value.substr(1));
  std::string out;
  while (!value.empty()) {
    const size_t size = value.starts_with('"') ? std::min(StringSize(value), value.size()) : 1;
    if (size > 1 || kBlanks.find(value.front()) == kBlanks.npos) out += value.substr(0, size);
    value.remove_prefix(size);
  }
  return out;
}

}  // namespace yagura::ingestion
