#pragma once

#include <chrono>
#include <string>

namespace yagura::cli {

// About how long something still takes that has come to `progress` (0 to 1) since `begun` ago, and
// how fast that was: "12 min at 4.2 %/min". Empty where nothing can be said yet, or any more.
std::string TimeLeft(double progress, std::chrono::nanoseconds begun);

}  // namespace yagura::cli
