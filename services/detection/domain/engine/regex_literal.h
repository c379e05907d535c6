#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace yagura::detection {

// What is known of every text that a regular expression matches.
struct RegexNeeds {
  // Texts of which one at least is in it, once case is folded; none where nothing is known.
  std::vector<std::string> literals;
  // How many bytes it has at least.
  size_t least_size = 0;
};

// Of an expression in RE2's syntax that is valid. Careful rather than complete.
RegexNeeds NeedsOfRegex(std::string_view expression);

}  // namespace yagura::detection
