#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace yagura {

// Whether no byte of the text is above 0x7f. 32 bytes at a time, as it looks at every line.
inline bool IsAscii(std::string_view text) {
  constexpr uint64_t kHighBits = 0x8080808080808080ull;
  uint64_t words[4];
  while (text.size() >= sizeof(words)) {
    std::memcpy(words, text.data(), sizeof(words));
    if (((words[0] | words[1] | words[2] | words[3]) & kHighBits) != 0) return false;
    text.remove_prefix(sizeof(words));
  }
  uint64_t word = 0;
  while (text.size() >= sizeof(word)) {
    std::memcpy(&word, text.data(), sizeof(word));
    if ((word & kHighBits) != 0) return false;
    text.remove_prefix(sizeof(word));
  }
  if (text.empty()) return true;
  word = 0;
  std::memcpy(&word, text.data(), text.size());
  return (word & kHighBits) == 0;
}

}  // namespace yagura
