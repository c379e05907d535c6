#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace yagura {

// Tells threads to end, and wakes those that pause. Thread-safe.
class StopSignal {
 public:
  void Set() {
    {
      const std::lock_guard lock(mutex_);
      set_ = true;
    }
    changed_.notify_all();
  }
  bool IsSet() const {
    const std::lock_guard lock(mutex_);
    return set_;
  }
  // Pauses; true where it was set before or meanwhile.
  bool WaitFor(std::chrono::milliseconds pause) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, pause, [this] { return set_; });
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool set_ = false;
};

}  // namespace yagura
