#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"

namespace yagura::ingestion {

// Something that is made of files, and made anew where they have changed: they are looked at when
// it is asked for, once a minute at most. What cannot be made leaves the last one in force (a file
// may be half written) and is tried again. Thread-safe.
template <typename T>
class Reloaded {
 public:
  using Make = std::function<absl::StatusOr<std::shared_ptr<T>>()>;
  // It was made anew, or why it could not be.
  using Tell = std::function<void(const absl::Status& status)>;

  // The error of `make` where it fails already now.
  static absl::StatusOr<std::unique_ptr<Reloaded>> Of(std::vector<std::filesystem::path> files,
                                                      Make make, Tell tell,
                                                      std::shared_ptr<const Clock> clock) {
    const Times times = TimesOf(files);
    auto made = make();
    if (!made.ok()) return made.status();
    return std::unique_ptr<Reloaded>(new Reloaded(std::move(files), times, *std::move(made),
                                                  std::move(make), std::move(tell),
                                                  std::move(clock)));
  }

  std::shared_ptr<T> Get() {
    const std::lock_guard lock(mutex_);
    const SteadyTime now = clock_->SteadyNow();
    if (now < next_look_) return current_;
    next_look_ = now + kLookInterval;
    const Times times = TimesOf(files_);
    if (times == times_) return current_;
    auto made = make_();
    tell_(made.status());
    if (!made.ok()) return current_;
    times_ = times;
    current_ = *std::move(made);
    return current_;
  }

 private:
  using Times = std::vector<std::filesystem::file_time_type>;
  static constexpr auto kLookInterval = std::chrono::seconds(60);

  static Times TimesOf(const std::vector<std::filesystem::path>& files) {
    Times times;
    for (const auto& file : files) {
      std::error_code none;
      times.push_back(std::filesystem::last_write_time(file, none));
    }
    return times;
  }

  Reloaded(std::vector<std::filesystem::path> files, Times times, std::shared_ptr<T> made,
           Make make, Tell tell, std::shared_ptr<const Clock> clock)
      : files_(std::move(files)),
        make_(std::move(make)),
        tell_(std::move(tell)),
        clock_(std::move(clock)),
        times_(std::move(times)),
        current_(std::move(made)),
        next_look_(clock_->SteadyNow() + kLookInterval) {}

  const std::vector<std::filesystem::path> files_;
  const Make make_;
  const Tell tell_;
  const std::shared_ptr<const Clock> clock_;
  std::mutex mutex_;  // of all below
  Times times_;
  std::shared_ptr<T> current_;
  SteadyTime next_look_;
};

}  // namespace yagura::ingestion
