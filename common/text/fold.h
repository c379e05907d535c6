#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace yagura {

// Text as it is searched by: Unicode's NFKC with case folded, so that half and full width, and
// capital and small letters of any script, become the same ("ＡＢ" and "ab", "ｶﾞ" and "ガ"). Bytes
// that are not UTF-8 stay as they are.
std::string Fold(std::string_view text);

// Text in which JSON and its like write characters as "\u6771" with these characters; surrogates
// by pairs. Any number of backslashes before the u counts: JSON within JSON doubles them. What is
// no such escape, or one of a control character, stays as it is.
std::string DecodeUnicodeEscapes(std::string_view text);

// A Unicode code point that is no surrogate, as UTF-8.
void AppendUtf8(uint32_t point, std::string* out);

}  // namespace yagura
