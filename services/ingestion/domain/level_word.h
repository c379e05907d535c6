#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include "common/text/text.h"

namespace yagura::ingestion {

// Whether applications write the word, in any case, as the level of a line.
inline bool IsLevelWord(std::string_view word) {
  constexpr std::array<std::string_view, 18> kLevels{
      "error", "warn", "warning",   "info",  "debug", "trace",  "fatal",       "critical", "notice",
      "err",   "crit", "emergency", "emerg", "alert", "severe", "information", "verbose",  "panic"};
  return word.size() <= 11 &&
         std::any_of(kLevels.begin(), kLevels.end(),
                     [&](std::string_view level) { return EqualsIgnoreCase(level, word); });
}

}  // namespace yagura::ingestion
