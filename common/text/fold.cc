#include "common/text/fold.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "common/text/ascii.h"
#include "common/text/text.h"

namespace yagura {
namespace {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

constexpr auto kFolding = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE |
                                                         UTF8PROC_COMPAT | UTF8PROC_CASEFOLD);

const utf8proc_uint8_t* Bytes(std::string_view text) {
  return reinterpret_cast<const utf8proc_uint8_t*>(text.data());
}

void AppendFolded(std::string_view valid, std::string* out) {
  if (IsAscii(valid)) {
    *out += ToLower(valid);
    return;
  }
  utf8proc_uint8_t* mapped = nullptr;
  const auto size =
      utf8proc_map(Bytes(valid), static_cast<utf8proc_ssize_t>(valid.size()), &mapped, kFolding);
  const std::unique_ptr<utf8proc_uint8_t, Free> owner(mapped);
  if (size < 0) {
    *out += valid;
  } else {
    out->append(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
  }
}

constexpr size_t kEscapeDigits = 4;
constexpr uint32_t kFirstPrintable = 0x20;
constexpr uint32_t kHighSurrogate = 0xD800;
constexpr uint32_t kLowSurrogate = 0xDC00;
constexpr uint32_t kPastSurrogates = 0xE000;
constexpr uint32_t kSurrogateBits = 10;
constexpr uint32_t kFirstSupplementary = 0x10000;

// An escape at `at`: how long it is, 0 where there is none, and the UTF-16 unit.
size_t EscapeAt(std::string_view text, size_t at, uint32_t* unit) {
  size_t u = at;
  while (u < text.size() && text[u] == '\\') ++u;
  if (u == at || u + kEscapeDigits >= text.size() || text[u] != 'u') return 0;
  *unit = 0;
  const char* const first = text.data() + u + 1;
  const auto parsed = std::from_chars(first, first + kEscapeDigits, *unit, 16);
  return parsed.ptr == first + kEscapeDigits ? u + 1 + kEscapeDigits - at : 0;
}

}  // namespace

void AppendUtf8(uint32_t point, std::string* out) {
  std::array<utf8proc_uint8_t, 4> bytes{};
  const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(point), bytes.data());
  out->append(reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(size));
}

std::string DecodeUnicodeEscapes(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t next = std::min(text.find('\\', at), text.size());
    out += text.substr(at, next - at);
    at = next;
    if (at == text.size()) break;
    uint32_t unit = 0;
    size_t size = EscapeAt(text, at, &unit);
    bool is_character =
        size > 0 && unit >= kFirstPrintable && (unit < kHighSurrogate || unit >= kPastSurrogates);
    uint32_t low = 0;
    if (size > 0 && unit >= kHighSurrogate && unit < kLowSurrogate) {
      const size_t more = EscapeAt(text, at + size, &low);
      if (more > 0 && low >= kLowSurrogate && low < kPastSurrogates) {
        unit = kFirstSupplementary + ((unit - kHighSurrogate) << kSurrogateBits) +
               (low - kLowSurrogate);
        size += more;
        is_character = true;
      }
    }
    if (is_character) {
      AppendUtf8(unit, &out);
      at += size;
      continue;
    }
    while (at < text.size() && text[at] == '\\') out += text[at++];
  }
  return out;
}

std::string Fold(std::string_view text) {
  std::string out;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    utf8proc_int32_t point = 0;
    const auto size = utf8proc_iterate(Bytes(text.substr(at)),
                                       static_cast<utf8proc_ssize_t>(text.size() - at), &point);
    if (size > 0) {
      at += static_cast<size_t>(size);
      continue;
    }
    AppendFolded(text.substr(begin, at - begin), &out);
    out += text[at++];
    begin = at;
  }
  AppendFolded(text.substr(begin), &out);
  return out;
}

}  // namespace yagura
