#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>

#include "services/ingestion/domain/source_map.h"

namespace yagura::ingestion {

// The map of sources in force. Thread-safe.
class CurrentSources {
 public:
  // Null until the first Set: nobody knows yet whose lines are whose.
  std::shared_ptr<const SourceMap> Get() const {
    const std::lock_guard lock(mutex_);
    return map_;
  }
  void Set(std::shared_ptr<const SourceMap> map) {
    const std::lock_guard lock(mutex_);
    map_ = std::move(map);
    changed_.notify_all();
  }
  // Waits for the first map, at most so long; null where none came.
  std::shared_ptr<const SourceMap> WaitFor(std::chrono::milliseconds timeout) const {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, timeout, [this] { return map_ != nullptr; });
    return map_;
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::shared_ptr<const SourceMap> map_;
};

}  // namespace yagura::ingestion
