#include "common/text/printable.h"

#include "fmt/format.h"

#include "common/text/text.h"

namespace yagura {
namespace {

// U+200B..U+200F, U+2028..U+202E, U+2060..U+206F and U+FEFF, which all hide or reorder text.
bool HidesText(std::string_view sequence) {
  if (sequence.size() != 3) return false;
  const auto a = static_cast<unsigned char>(sequence[0]);
  const auto b = static_cast<unsigned char>(sequence[1]);
  const auto c = static_cast<unsigned char>(sequence[2]);
  if (a == 0xef) return b == 0xbb && c == 0xbf;
  if (a != 0xe2) return false;
  if (b == 0x80) return (c >= 0x8b && c <= 0x8f) || (c >= 0xa8 && c <= 0xae);
  return b == 0x81 && c >= 0xa0 && c <= 0xaf;
}

size_t SequenceLength(unsigned char first) {
  if (first < 0x80) return 1;
  if (first < 0xe0) return 2;
  return first < 0xf0 ? 3 : 4;
}

}  // namespace

std::string Printable(std::string_view text, size_t max_bytes) {
  static constexpr std::string_view kCut = "...";
  // Escapes grow text at most fourfold and nothing is shortened: more input than this is never
  // shown.
  const std::string visible = EscapeForTerminal(text.substr(0, max_bytes + 8));
  std::string out;
  size_t last_fit = 0;  // where a cut still leaves room for its mark
  for (size_t i = 0; i < visible.size();) {
    const size_t length = SequenceLength(static_cast<unsigned char>(visible[i]));
    const std::string_view sequence = std::string_view(visible).substr(i, length);
    if (HidesText(sequence)) {
      for (const char byte : sequence) {
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
      }
    } else {
      out += sequence;
    }
    i += length;
    if (out.size() + kCut.size() <= max_bytes) last_fit = out.size();
    if (out.size() > max_bytes) break;
  }
  if (out.size() <= max_bytes && text.size() <= max_bytes) return out;
  out.resize(last_fit);
  out += kCut.substr(0, max_bytes);
  return out;
}

}  // namespace yagura
