// Any bytes in any character set: what comes out is UTF-8 (where it is not said to be already), and
// ASCII stays what it is. The first byte chooses the set.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "common/text/ascii.h"
#include "common/text/text.h"
#include "services/ingestion/domain/charset.h"
#include "services/ingestion/domain/text_arena.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace yagura::ingestion;  // NOLINT(google-build-using-namespace)
  if (size == 0) return 0;
  static CharsetDecoder decoder;
  const auto charset = static_cast<Charset>(data[0] % 4);
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  TextArena arena;
  bool broken = false;
  const std::string_view out = decoder.ToUtf8(text, charset, arena, &broken);
  if (charset != Charset::kUtf8 && !yagura::IsValidUtf8(out)) std::abort();
  if (yagura::IsAscii(text) && (out != text || broken)) std::abort();
  return 0;
}
