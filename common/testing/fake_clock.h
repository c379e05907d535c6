#pragma once

#include <chrono>
#include <mutex>

#include "common/clock/clock.h"

namespace yagura::testing {

// A clock that stands still until the test moves it. Thread-safe.
class FakeClock : public Clock {
 public:
  // Starts at 2026-01-05T00:00:00Z, a Monday.
  explicit FakeClock(TimePoint start = std::chrono::sys_days(std::chrono::year(2026) / 1 / 5))
      : now_(start) {}

  TimePoint Now() const override {
    const std::lock_guard lock(mutex_);
    return now_;
  }
  SteadyTime SteadyNow() const override {
    const std::lock_guard lock(mutex_);
    return steady_;
  }

  // Both clocks go on.
  void Advance(std::chrono::nanoseconds by) {
    const std::lock_guard lock(mutex_);
    now_ += by;
    steady_ += std::chrono::duration_cast<SteadyTime::duration>(by);
  }
  // The wall clock jumps, as after a correction; the steady one does not notice.
  void SetNow(TimePoint now) {
    const std::lock_guard lock(mutex_);
    now_ = now;
  }

 private:
  mutable std::mutex mutex_;
  TimePoint now_;
  SteadyTime steady_{std::chrono::hours(1)};
};

}  // namespace yagura::testing
