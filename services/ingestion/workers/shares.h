#pragma once

#include <cstdint>
#include <mutex>
#include <string_view>

#include "common/text/text.h"

namespace yagura::ingestion {

// A bounded amount (of bytes, places, descriptors) that several draw on. Nobody may hold more than
// is left for all others: who is alone gets half, two get a third each, and whoever comes next
// always finds something. Thread-safe.
class Shares {
 public:
  explicit Shares(uint64_t limit) : limit_(limit) {}

  // False where there is no more for `who`. The first amount of somebody who holds nothing is given
  // wherever it fits.
  bool Take(std::string_view who, uint64_t amount) {
    const std::lock_guard lock(mutex_);
    const uint64_t left = limit_ - taken_;
    if (amount > left) return false;
    const auto found = held_.find(who);
    const uint64_t own = found == held_.end() ? 0 : found->second;
    if (own > 0 && own + amount > left) return false;
    taken_ += amount;
    if (found != held_.end()) {
      found->second += amount;
    } else if (amount > 0) {
      held_.emplace(who, amount);
    }
    return true;
  }

  // No more than was taken.
  void Give(std::string_view who, uint64_t amount) {
    if (amount == 0) return;
    const std::lock_guard lock(mutex_);
    const auto found = held_.find(who);
    taken_ -= amount;
    found->second -= amount;
    if (found->second == 0) held_.erase(found);
  }

  uint64_t taken() const {
    const std::lock_guard lock(mutex_);
    return taken_;
  }

 private:
  const uint64_t limit_;
  mutable std::mutex mutex_;
  uint64_t taken_ = 0;
  StringMap<uint64_t> held_;
};

}  // namespace yagura::ingestion
