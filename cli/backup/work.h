#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>

#include "absl/status/status.h"

namespace yagura::cli {

// What all parts of a long copy share: how far it is, how fast it may be, and whether it is to end.
// Thread-safe.
class Work {
 public:
  // `bytes_per_second` 0: as fast as it goes.
  Work(uint64_t bytes_per_second, std::stop_token stop);

  // What is done now, "copying store/events"; and how much there is, about.
  void Begin(std::string step, uint64_t total_bytes);
  // `bytes` were copied: waits where that was too fast. CANCELLED (STOPPED) once it is to end.
  absl::Status Done(uint64_t bytes);
  const std::stop_token& stop() const { return stop_; }
  uint64_t bytes() const { return bytes_; }
  // Removes the line from the terminal.
  void Clear();

 private:
  using Steady = std::chrono::steady_clock;
  void Tell(Steady::time_point now);  // under mutex_

  const uint64_t bytes_per_second_;
  const std::stop_token stop_;
  const bool terminal_;
  std::atomic<uint64_t> bytes_{0};
  std::mutex mutex_;
  std::string step_;  // guarded by mutex_, as is what follows
  uint64_t total_ = 0;
  uint64_t begun_at_ = 0;         // bytes_ when the step began
  Steady::time_point free_at_{};  // when what was copied so far was due
  Steady::time_point told_{};
  bool drawn_ = false;
};

// Does both at the same time. Where one of them fails the other one is told to stop, and the error
// is that of the one that failed first.
absl::Status DoBoth(const std::stop_token& stop,
                    const std::function<absl::Status(const std::stop_token&)>& one,
                    const std::function<absl::Status(const std::stop_token&)>& other);

// "1.4 GiB".
std::string BytesText(uint64_t bytes);

}  // namespace yagura::cli
