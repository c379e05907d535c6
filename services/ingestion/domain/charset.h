#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "services/ingestion/domain/text_arena.h"

namespace yagura::ingestion {

// The character sets that a source may name.
enum class Charset : uint8_t {
  kUtf8,
  kShiftJis,  // as Windows has it (code page 932)
  kEucJp,     // with the same vendors' additions
  kLatin1,
};

// "utf-8", "shift_jis", "euc-jp", "iso-8859-1", as sources name them; empty is UTF-8.
std::optional<Charset> FindCharset(std::string_view name);

// Reads text of a character set as UTF-8. ASCII means the same in all of them: bytes of it are
// neither copied nor changed. One object serves one thread.
class CharsetDecoder {
 public:
  CharsetDecoder() = default;
  ~CharsetDecoder();
  CharsetDecoder(const CharsetDecoder&) = delete;
  CharsetDecoder& operator=(const CharsetDecoder&) = delete;

  // `text` itself where nothing is to be changed (UTF-8 is taken as it is), else a copy in `arena`.
  // Each byte that is no part of a character becomes U+FFFD and sets *broken.
  std::string_view ToUtf8(std::string_view text, Charset charset, TextArena& arena, bool* broken);

 private:
  using Handle = void*;  // an iconv_t; null until it is needed
  Handle Find(Charset charset);

  std::array<Handle, 4> handles_{};
};

}  // namespace yagura::ingestion
