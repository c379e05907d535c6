#pragma once

#include <filesystem>

namespace yagura::cli {

// The folder of rules, parsers and samples: `told` where that is set, else content/ in an ancestor
// of the program's folder (a source tree), else where it is installed.
std::filesystem::path FindContent(const std::filesystem::path& told);

}  // namespace yagura::cli
