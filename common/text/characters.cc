#include "common/text/characters.h"

#include <algorithm>

namespace yagura {
namespace {

// What is no continuation byte begins a character.
bool Begins(char byte) { return (static_cast<unsigned char>(byte) & 0xc0U) != 0x80U; }

}  // namespace

size_t CountCharacters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), Begins));
}

std::string_view FirstCharacters(std::string_view text, size_t count) {
  size_t found = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    if (Begins(text[at]) && ++found > count) return text.substr(0, at);
  }
  return text;
}

std::string_view CharactersWithin(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  while (max_bytes > 0 && !Begins(text[max_bytes])) --max_bytes;
  return text.substr(0, max_bytes);
}

}  // namespace yagura
