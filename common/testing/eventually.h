#pragma once

#include <chrono>
#include <functional>
#include <thread>

#include "common/testing/patience.h"

namespace yagura::testing {

// Waits until the condition holds; false where it does not within `limit` (see Patient).
inline bool Eventually(const std::function<bool()>& condition,
                       std::chrono::milliseconds limit = std::chrono::seconds(60)) {
  const auto deadline = std::chrono::steady_clock::now() + Patient(limit);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace yagura::testing
