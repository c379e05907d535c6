#include "cli/backup/work.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <iostream>
#include <thread>
#include <utility>

#include "fmt/format.h"

#include "common/status/status.h"

namespace yagura::cli {
namespace {

constexpr std::chrono::milliseconds kDrawEvery{200};
constexpr std::chrono::seconds kTellEvery{15};
constexpr double kKibi = 1024;

Status Stopped() {
  return MakeError(absl::StatusCode::kCancelled, "STOPPED", "stopped before it was done");
}

}  // namespace

absl::Status DoBoth(const std::stop_token& stop,
                    const std::function<absl::Status(const std::stop_token&)>& one,
                    const std::function<absl::Status(const std::stop_token&)>& other) {
  std::stop_source both;
  const std::stop_callback forward(stop, [&both] { both.request_stop(); });
  std::mutex mutex;
  absl::Status first;
  const auto run = [&](const auto& task) {
    const absl::Status status = task(both.get_token());
    if (status.ok()) return;
    {
      const std::lock_guard lock(mutex);
      if (first.ok()) first = status;
    }
    both.request_stop();
  };
  std::jthread beside([&] { run(other); });
  run(one);
  beside.join();
  return first;
}

std::string BytesText(uint64_t bytes) {
  auto value = static_cast<double>(bytes);
  const char* unit = "B";
  for (const char* next : {"KiB", "MiB", "GiB", "TiB"}) {
    if (value < kKibi) break;
    value /= kKibi;
    unit = next;
  }
  return unit[0] == 'B' ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, unit);
}

Work::Work(uint64_t bytes_per_second, std::stop_token stop)
    : bytes_per_second_(bytes_per_second),
      stop_(std::move(stop)),
      terminal_(isatty(STDERR_FILENO) == 1),
      told_(Steady::now()) {}

void Work::Begin(std::string step, uint64_t total_bytes) {
  const std::lock_guard lock(mutex_);
  step_ = std::move(step);
  total_ = total_bytes;
  begun_at_ = bytes_;
  told_ = Steady::now();
}

// On a terminal one line that is drawn over, else a line now and then.
void Work::Tell(Steady::time_point now) {
  if (now - told_ < (terminal_ ? Steady::duration(kDrawEvery) : Steady::duration(kTellEvery))) {
    return;
  }
  told_ = now;
  const uint64_t done = bytes_ - begun_at_;
  std::string line = fmt::format("{}: {}", step_, BytesText(done));
  if (total_ > 0) line += fmt::format(" of about {}", BytesText(std::max(total_, done)));
  std::cerr << (terminal_ ? "\r\x1b[K" + line : line + "\n") << std::flush;
  drawn_ = terminal_;
}

void Work::Clear() {
  const std::lock_guard lock(mutex_);
  if (drawn_) std::cerr << "\r\x1b[K" << std::flush;
  drawn_ = false;
}

Status Work::Done(uint64_t bytes) {
  bytes_ += bytes;
  const auto now = Steady::now();
  Steady::time_point until = now;
  {
    const std::lock_guard lock(mutex_);
    Tell(now);
    if (bytes_per_second_ > 0) {
      free_at_ = std::max(free_at_, now) +
                 std::chrono::nanoseconds(static_cast<int64_t>(
                     1e9 * static_cast<double>(bytes) / static_cast<double>(bytes_per_second_)));
      until = free_at_;
    }
  }
  if (until > now) {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any wake;
    wake.wait_until(lock, stop_, until, [] { return false; });
  }
  return stop_.stop_requested() ? Stopped() : absl::OkStatus();
}

}  // namespace yagura::cli
