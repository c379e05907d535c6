#pragma once

#include <string>
#include <string_view>

namespace yagura {

bool IsAscii(std::string_view text);

// Text as it is searched by: Unicode's NFKC with case folded, so that half and full width, and
// capital and small letters of any script, become the same ("ＡＢ" and "ab", "ｶﾞ" and "ガ"). Bytes
// that are not UTF-8 stay as they are.
std::string Fold(std::string_view text);

}  // namespace yagura
