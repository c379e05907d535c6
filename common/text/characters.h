#pragma once

#include <cstddef>
#include <string_view>

namespace yagura {

// Unicode code points of valid UTF-8, as limits in characters count them.
size_t CountCharacters(std::string_view text);
// The first so many of them, none cut in two.
std::string_view FirstCharacters(std::string_view text, size_t count);
// As many of them as fit in so many bytes.
std::string_view CharactersWithin(std::string_view text, size_t max_bytes);

}  // namespace yagura
