#pragma once

#include <chrono>
#include <memory>

// Time as a part that is passed in, so that tests decide what time it is.
namespace yagura {

// Wall-clock time, UTC, with nanoseconds.
using TimePoint = std::chrono::sys_time<std::chrono::nanoseconds>;
using SteadyTime = std::chrono::steady_clock::time_point;

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Wall-clock time; may jump.
  virtual TimePoint Now() const = 0;
  // For measuring and for deadlines; never goes back.
  virtual SteadyTime SteadyNow() const = 0;
};

// The machine's clock.
std::shared_ptr<const Clock> SystemClock();

}  // namespace yagura
