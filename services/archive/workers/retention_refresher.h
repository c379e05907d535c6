#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>

#include "absl/status/status.h"

#include "common/log/log.h"

namespace yagura::rpc {
class Channels;
}

namespace yagura::archive {

class Retention;

// Asks the directory every minute how long each tenant's events are kept.
class RetentionRefresher {
 public:
  RetentionRefresher(std::shared_ptr<rpc::Channels> channels, Retention& retention,
                     std::chrono::milliseconds interval, Logger logger);
  ~RetentionRefresher();  // stops
  void Start();
  void Stop();
  // The directory has answered since the start.
  bool told() const { return told_; }
  // Asks the directory as soon as may be.
  void Wake();

 private:
  absl::Status Refresh();
  void Run(const std::stop_token& stop);

  const std::shared_ptr<rpc::Channels> channels_;
  Retention& retention_;
  const std::chrono::milliseconds interval_;
  const Logger logger_;
  std::atomic<bool> told_ = false;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool woken_ = false;  // guarded by mutex_
  std::jthread thread_;
};

}  // namespace yagura::archive
