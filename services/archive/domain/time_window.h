#pragma once

#include <chrono>
#include <cstdint>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"

namespace yagura::archive::v1 {
class TimeRange;
}
namespace google::protobuf {
class Duration;
}

namespace yagura::archive {

// Receive times from `start` to before `end`.
struct TimeWindow {
  TimePoint start{};
  TimePoint end{};
};

// With the defaults of TimeRange. INVALID_ARGUMENT where the end is not after the start, or the
// range is longer than 400 days.
absl::StatusOr<TimeWindow> ResolveWindow(const v1::TimeRange& range, TimePoint now);

inline constexpr int64_t kMaxBuckets = 2'000;

// Width of a histogram's buckets: what is asked for, or a round width that gives about a hundred.
// INVALID_ARGUMENT where it is below a second, not whole seconds, or gives too many buckets.
absl::StatusOr<std::chrono::seconds> ResolveInterval(const google::protobuf::Duration& asked,
                                                     const TimeWindow& window);

// Number of the bucket that a time lies in, counted from 1970; negative before.
int64_t BucketOf(TimePoint time, std::chrono::seconds interval);

// Hours of the clock that the window touches.
uint32_t HoursIn(const TimeWindow& window);

}  // namespace yagura::archive
