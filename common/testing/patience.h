#pragma once

#include <algorithm>
#include <chrono>
#include <cstdlib>

namespace yagura::testing {

// How long a test waits for what should happen within `limit` on an idle machine: so many times
// longer as $YAGURA_PATIENCE says, which ctest sets where sanitizers make everything slower. For
// deadlines of waits, never for what a test asserts to be quick.
template <typename Duration>
Duration Patient(Duration limit) {
  const char* factor = std::getenv("YAGURA_PATIENCE");
  return factor == nullptr ? limit : limit * std::max(1, std::atoi(factor));
}

}  // namespace yagura::testing
