#include "common/clock/proto_time.h"

#include <algorithm>
#include <limits>

#include "absl/time/time.h"
#include "fmt/format.h"

namespace yagura {
namespace {

constexpr int64_t kNanos = 1'000'000'000;
constexpr int64_t kMaxSeconds = std::numeric_limits<int64_t>::max() / kNanos - 1;

std::chrono::nanoseconds Join(int64_t seconds, int32_t nanos) {
  return std::chrono::nanoseconds(std::clamp(seconds, -kMaxSeconds, kMaxSeconds) * kNanos + nanos);
}

}  // namespace

google::protobuf::Timestamp ToProto(TimePoint time) {
  const int64_t total = time.time_since_epoch().count();
  int64_t seconds = total / kNanos;
  int64_t nanos = total % kNanos;
  if (nanos < 0) {
    nanos += kNanos;
    --seconds;
  }
  google::protobuf::Timestamp proto;
  proto.set_seconds(seconds);
  proto.set_nanos(static_cast<int32_t>(nanos));
  return proto;
}

TimePoint FromProto(const google::protobuf::Timestamp& time) {
  return TimePoint(Join(time.seconds(), time.nanos()));
}

google::protobuf::Duration ToProtoDuration(std::chrono::nanoseconds duration) {
  google::protobuf::Duration proto;
  proto.set_seconds(duration.count() / kNanos);
  proto.set_nanos(static_cast<int32_t>(duration.count() % kNanos));
  return proto;
}

std::chrono::nanoseconds FromProto(const google::protobuf::Duration& duration) {
  return Join(duration.seconds(), duration.nanos());
}

std::string FormatTime(TimePoint time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ",
                          absl::FromUnixNanos(time.time_since_epoch().count()),
                          absl::UTCTimeZone());
}

absl::StatusOr<TimePoint> ParseTime(std::string_view text) {
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, absl::string_view(text.data(), text.size()), &time,
                       &error)) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" is not an RFC 3339 time: {}", text, error));
  }
  return FromProto([&time] {
    google::protobuf::Timestamp proto;
    proto.set_seconds(absl::ToUnixSeconds(time));
    proto.set_nanos(static_cast<int32_t>(
        absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(absl::ToUnixSeconds(time)))));
    return proto;
  }());
}

}  // namespace yagura
