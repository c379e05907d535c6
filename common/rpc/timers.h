#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "common/clock/clock.h"

namespace yagura::rpc {

// Runs short functions at given times of a clock, on one thread of its own. Thread-safe.
class Timers {
 public:
  explicit Timers(std::shared_ptr<const Clock> clock);
  ~Timers();  // stops
  // `action` must not block. It is dropped unrun when the timers stop first.
  void At(SteadyTime time, std::function<void()> action);
  void After(std::chrono::milliseconds delay, std::function<void()> action);
  void Stop();

 private:
  void Work();

  const std::shared_ptr<const Clock> clock_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::multimap<SteadyTime, std::function<void()>> due_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace yagura::rpc
