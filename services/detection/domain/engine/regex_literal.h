#pragma once

#include <cstddef>
#include <optional>
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

// What an expression like `.{1000,}` says: so many characters beside each other, whichever. An
// automaton keeps a state for each place where they may have begun.
struct AnyRun {
  size_t least = 0;
  bool with_newlines = false;

  // Nothing where the text is not of ASCII.
  std::optional<bool> IsIn(std::string_view text) const;
};

// Of an expression that is valid and nothing but that.
std::optional<AnyRun> AnyRunOfRegex(std::string_view expression);

}  // namespace yagura::detection
