#pragma once

#include <string>

namespace yagura::cli::testing {

// The part of docs/own-rules.md that is made from content/sigma: a chapter a folder, a section a
// rule.
std::string OwnRulesPage();

// The line of docs/own-rules.md behind which that part stands.
inline constexpr char kMadeFromRules[] = "<!-- Made from content/sigma, see above. -->\n";

}  // namespace yagura::cli::testing
