#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/clock/stop_signal.h"
#include "common/redis/script.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::stream {

// Renews leases from a thread of its own while their holders are busy with a handler: a batch that
// takes longer than the lease would otherwise be taken over, and never done. Thread-safe.
class LeaseKeeper {
 public:
  LeaseKeeper(std::shared_ptr<redis::Pool> flow, std::chrono::milliseconds lease);
  ~LeaseKeeper();  // ends the thread

  struct Held {
    std::string key;
    std::string holder;
    std::string epoch;
    std::atomic<bool> lost = false;  // another holder has it now
  };
  // Kept as long as somebody keeps the answer.
  std::shared_ptr<Held> Keep(std::string key, std::string holder, uint64_t epoch);

 private:
  void Loop();
  void RenewAll();

  const std::shared_ptr<redis::Pool> flow_;
  const std::chrono::milliseconds lease_;
  const redis::Script renew_;
  StopSignal stop_;
  std::mutex mutex_;
  std::vector<std::weak_ptr<Held>> held_;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace yagura::stream
