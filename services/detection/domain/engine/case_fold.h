#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace yagura::detection {

// No folded text has more bytes than this for a text of `size`.
constexpr size_t MaxFoldedSize(size_t size) { return size + size / 2; }

// Unicode's simple case folding: two texts that differ in case alone become the same. Bytes that
// are not UTF-8 stay. Writes at most MaxFoldedSize(text.size()) bytes to `out`; returns its end.
char* FoldCaseInto(std::string_view text, char* out);
std::string FoldCase(std::string_view text);

}  // namespace yagura::detection
