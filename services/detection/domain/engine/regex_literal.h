#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace yagura::detection {

// Texts of which one at least is in every text that the expression (RE2 syntax, valid) matches,
// once case is folded; for lack of such: none. Careful rather than complete.
std::vector<std::string> RequiredLiterals(std::string_view expression);

}  // namespace yagura::detection
