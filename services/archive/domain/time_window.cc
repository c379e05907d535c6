#include "services/archive/domain/time_window.h"

#include <array>
#include <ctime>

#include "fmt/chrono.h"
#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "yagura/archive/v1/archive_service.pb.h"

namespace yagura::archive {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr hours kDefault{24};
constexpr hours kLongest{400 * 24};
constexpr int64_t kUsualBuckets = 100;
constexpr std::array<seconds, 16> kRound = {seconds(1),  seconds(2),  seconds(5), seconds(10),
                                            seconds(30), minutes(1),  minutes(2), minutes(5),
                                            minutes(10), minutes(30), hours(1),   hours(2),
                                            hours(6),    hours(12),   hours(24),  hours(7 * 24)};

int64_t BucketsIn(const TimeWindow& window, seconds interval) {
  return BucketOf(window.end - std::chrono::nanoseconds(1), interval) -
         BucketOf(window.start, interval) + 1;
}

}  // namespace

bool TouchesDay(const TimeWindow& window, int64_t day) {
  const std::chrono::sys_days first{std::chrono::days(day)};
  return window.start < first + std::chrono::days(1) && window.end > first;
}

StatusOr<TimeWindow> ResolveWindow(const v1::TimeRange& range, TimePoint now) {
  TimeWindow window;
  window.end = range.has_end_time() ? FromProto(range.end_time()) : now;
  window.start = range.has_start_time() ? FromProto(range.start_time()) : window.end - kDefault;
  if (window.start >= window.end) return InvalidField("range", "the end must be after the start");
  if (window.end - window.start > kLongest) {
    return InvalidField("range", "must be at most 400 days long");
  }
  if (!v1::TimeBasis_IsValid(range.basis()))
    return InvalidField("range.basis", "is no value of it");
  if (range.basis() == v1::HAPPENED) window.basis = TimeBasis::kHappened;
  return window;
}

StatusOr<TimeWindow> ResolveReceiveWindow(const v1::TimeRange& range, TimePoint now) {
  YAGURA_ASSIGN_OR_RETURN(const TimeWindow window, ResolveWindow(range, now));
  if (window.basis != TimeBasis::kReceived) {
    return InvalidField("range.basis", "this list knows only when something was received");
  }
  return window;
}

std::string PartitionOf(TimePoint time) {
  return fmt::format(
      "{:%Y%m%d}", fmt::gmtime(static_cast<std::time_t>(BucketOf(time, std::chrono::seconds(1)))));
}

TimeWindow ReceiptOf(const TimeWindow& window) {
  if (window.basis == TimeBasis::kReceived) return window;
  return {window.start - kEarliestDelivery, window.end + kLatestDelivery};
}

int64_t BucketOf(TimePoint time, seconds interval) {
  const int64_t nanoseconds = time.time_since_epoch().count();
  const int64_t width = std::chrono::nanoseconds(interval).count();
  return nanoseconds / width - (nanoseconds % width < 0 ? 1 : 0);
}

StatusOr<seconds> ResolveInterval(const google::protobuf::Duration& asked,
                                  const TimeWindow& window) {
  const std::chrono::nanoseconds width = FromProto(asked);
  if (width.count() == 0) {
    for (const seconds round : kRound) {
      if (BucketsIn(window, round) <= kUsualBuckets) return round;
    }
    return kRound.back();
  }
  if (width < seconds(1) || width % seconds(1) != std::chrono::nanoseconds(0)) {
    return InvalidField("interval", "must be whole seconds, at least one");
  }
  const auto interval = std::chrono::duration_cast<seconds>(width);
  if (BucketsIn(window, interval) > kMaxBuckets) {
    return InvalidField("interval", fmt::format("gives more than {} buckets", kMaxBuckets));
  }
  return interval;
}

uint32_t HoursIn(const TimeWindow& window) {
  return static_cast<uint32_t>(BucketsIn(window, hours(1)));
}

}  // namespace yagura::archive
