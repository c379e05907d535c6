#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace yagura {

// Text that came from outside, made fit for messages to people: one line of valid UTF-8 of at most
// `max_bytes`; control characters and characters that change the direction or visibility of what
// follows are shown as escapes; what is cut ends in "...".
std::string Printable(std::string_view text, size_t max_bytes);

}  // namespace yagura
