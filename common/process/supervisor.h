#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "common/log/log.h"
#include "common/process/child_process.h"

namespace yagura {

// Keeps one child running: starts it, waits until it is ready, and starts it again when it ends, at
// once the first time, then after 0.1 s, 0.2 s ... 5 s; a run of a minute resets the pause.
// Thread-safe.
class Supervisor {
 public:
  struct Options {
    std::string name;  // for the log
    ChildProcess::Options child;
    // Whether the child serves; asked every 10 ms.
    std::function<bool()> ready;
    std::chrono::milliseconds start_timeout{20'000};
    std::chrono::milliseconds stop_timeout{10'000};
  };
  Supervisor(Options options, Logger logger);
  ~Supervisor();  // stops

  // Returns when the child is ready, DEADLINE_EXCEEDED after start_timeout, or why it ended.
  absl::Status Start();
  void Stop();
  pid_t pid() const { return pid_; }
  int restarts() const { return restarts_; }

 private:
  void Run(const std::stop_token& stop);
  // One life of the child. Whether it became ready.
  bool RunOnce(const std::stop_token& stop);
  void Report(absl::Status status);

  const Options options_;
  const Logger logger_;
  std::atomic<pid_t> pid_{-1};
  std::atomic<int> restarts_{0};
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool reported_ = false;
  absl::Status first_start_;
  std::jthread thread_;
};

}  // namespace yagura
