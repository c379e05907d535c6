#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"

namespace yagura::archive::v1 {
class TimeRange;
}
namespace google::protobuf {
class Duration;
}

namespace yagura::archive {

// By which time an event belongs to a window.
enum class TimeBasis {
  kReceived,
  kHappened,  // by its own time, see v1::HAPPENED
  kEither,    // received or happened within: nothing that may belong to it is missed
};

// Times from `start` to before `end`.
struct TimeWindow {
  TimePoint start{};
  TimePoint end{};
  TimeBasis basis = TimeBasis::kReceived;

  bool operator==(const TimeWindow&) const = default;
};

// Whether it has any of that day (UTC, days since 1970).
bool TouchesDay(const TimeWindow& window, int64_t day);

// The partition of the tables of events that has the day (UTC) of a receive time: "20261122".
std::string PartitionOf(TimePoint time);

// What happened may have been received so long after, or, by a clock that is ahead, before.
inline constexpr std::chrono::hours kLatestDelivery{7 * 24};
inline constexpr std::chrono::hours kEarliestDelivery{1};

// When the events of a window may have been received.
TimeWindow ReceiptOf(const TimeWindow& window);

// With the defaults of TimeRange. INVALID_ARGUMENT where the end is not after the start, or the
// range is longer than 400 days.
absl::StatusOr<TimeWindow> ResolveWindow(const v1::TimeRange& range, TimePoint now);
// INVALID_ARGUMENT also where the range is not one of receive time.
absl::StatusOr<TimeWindow> ResolveReceiveWindow(const v1::TimeRange& range, TimePoint now);

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
