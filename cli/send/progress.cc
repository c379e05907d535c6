#include "cli/send/progress.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "fmt/format.h"

namespace yagura::cli {
namespace {

std::string Grouped(uint64_t number) {
  std::string digits = fmt::to_string(number);
  for (auto at = static_cast<ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<size_t>(at), ",");
  }
  return digits;
}

}  // namespace

Progress::Progress(uint64_t total_bytes)
    : total_bytes_(total_bytes),
      terminal_(isatty(STDERR_FILENO) != 0),
      start_(std::chrono::steady_clock::now()) {}

void Progress::Add(uint64_t lines, uint64_t bytes) {
  lines_ += lines;
  bytes_ += bytes;
  if (!terminal_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - drawn_ < std::chrono::milliseconds(100)) return;
  drawn_ = now;
  Draw(now);
}

void Progress::Draw(std::chrono::steady_clock::time_point now) {
  constexpr uint64_t kWidth = 40;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  std::string bar;
  if (total_bytes_ > 0) {
    const uint64_t filled = std::min(kWidth, kWidth * bytes_ / total_bytes_);
    bar =
        fmt::format("[{}{}] {:3} %  ", std::string(filled, '#'), std::string(kWidth - filled, '.'),
                    std::min<uint64_t>(100, 100 * bytes_ / total_bytes_));
  }
  std::cerr << fmt::format("\r\x1b[K{}{} lines, {} lines/s", bar, Grouped(lines_),
                           Grouped(static_cast<uint64_t>(static_cast<double>(lines_) /
                                                         std::max(seconds, 0.001))))
            << std::flush;
}

void Progress::Clear() {
  if (terminal_) std::cerr << "\r\x1b[K" << std::flush;
}

std::string Progress::Summary() const {
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  return fmt::format(
      "{} lines, {:.1f} MB in {:.1f} s: {} lines/s", Grouped(lines_),
      static_cast<double>(bytes_) / 1e6, seconds,
      Grouped(static_cast<uint64_t>(static_cast<double>(lines_) / std::max(seconds, 0.001))));
}

}  // namespace yagura::cli
