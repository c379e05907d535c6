#include "services/ingestion/domain/charset.h"

#include <iconv.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/text/ascii.h"

namespace yagura::ingestion {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD
// Of one byte: a half-width katakana, or the replacement.
constexpr size_t kMostBytesOfOne = 3;

struct Name {
  std::string_view name;
  Charset charset;
};
constexpr std::array<Name, 4> kNames{{{"utf-8", Charset::kUtf8},
                                      {"shift_jis", Charset::kShiftJis},
                                      {"euc-jp", Charset::kEucJp},
                                      {"iso-8859-1", Charset::kLatin1}}};

// As iconv names them, the fuller one first.
std::pair<const char*, const char*> IconvNamesOf(Charset charset) {
  switch (charset) {
    case Charset::kShiftJis:
      return {"CP932", "SHIFT_JIS"};
    case Charset::kEucJp:
      return {"EUC-JP-MS", "EUC-JP"};
    case Charset::kLatin1:
      return {"ISO-8859-1", "LATIN1"};
    case Charset::kUtf8:
      break;
  }
  return {"UTF-8", "UTF8"};
}

bool IsOpen(iconv_t handle) {
  return handle != reinterpret_cast<iconv_t>(-1);  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace

std::optional<Charset> FindCharset(std::string_view name) {
  if (name.empty()) return Charset::kUtf8;
  const auto* const found = std::ranges::find(kNames, name, &Name::name);
  if (found == kNames.end()) return std::nullopt;
  return found->charset;
}

CharsetDecoder::~CharsetDecoder() {
  for (const Handle handle : handles_) {
    if (handle != nullptr && IsOpen(handle)) ::iconv_close(handle);
  }
}

CharsetDecoder::Handle CharsetDecoder::Find(Charset charset) {
  Handle& handle = handles_[static_cast<size_t>(charset)];
  if (handle == nullptr) {
    const auto [name, other] = IconvNamesOf(charset);
    handle = ::iconv_open("UTF-8", name);
    if (!IsOpen(handle)) handle = ::iconv_open("UTF-8", other);
  }
  return handle;
}

std::string_view CharsetDecoder::ToUtf8(std::string_view text, Charset charset, TextArena& arena,
                                        bool* broken) {
  if (charset == Charset::kUtf8 || IsAscii(text)) return text;
  const Handle handle = Find(charset);
  if (!IsOpen(handle)) {  // the system's C library lacks it
    *broken = true;
    return text;
  }
  const size_t room = text.size() * kMostBytesOfOne;
  char* const start = arena.Reserve(room);
  char* out = start;
  size_t out_left = room;
  char* in = const_cast<char*>(text.data());  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  size_t in_left = text.size();
  ::iconv(handle, nullptr, nullptr, nullptr, nullptr);
  while (in_left > 0 &&
         ::iconv(handle, &in, &in_left, &out, &out_left) == static_cast<size_t>(-1)) {
    if (errno == E2BIG || out_left < kReplacement.size()) break;
    *broken = true;
    out = std::copy(kReplacement.begin(), kReplacement.end(), out);
    out_left -= kReplacement.size();
    ++in;
    --in_left;
  }
  arena.Shrink(room, room - out_left);
  return {start, room - out_left};
}

}  // namespace yagura::ingestion
