#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace yagura::cli {

// A progress bar on standard error, drawn at most ten times a second and only on a terminal.
class Progress {
 public:
  // `total_bytes` 0: not known, a count is shown instead of a bar.
  explicit Progress(uint64_t total_bytes);
  void Add(uint64_t lines, uint64_t bytes);
  // Removes the bar.
  void Clear();
  uint64_t lines() const { return lines_; }
  // "12,345 lines, 2.4 MB in 1.2 s: 10,287 lines/s".
  std::string Summary() const;

 private:
  void Draw(std::chrono::steady_clock::time_point now);

  const uint64_t total_bytes_;
  const bool terminal_;
  const std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point drawn_{};
  uint64_t lines_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace yagura::cli
