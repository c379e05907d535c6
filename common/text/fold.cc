#include "common/text/fold.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>

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

}  // namespace

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (static_cast<uint8_t>(c) & 0x80U) == 0; });
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
