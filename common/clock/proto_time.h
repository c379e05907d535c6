#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"

#include "common/clock/clock.h"

// Between std::chrono, protobuf's Timestamp and Duration, and RFC 3339 text.
namespace yagura {

// Times outside the years 1678 to 2261 (what int64 nanoseconds hold) are clamped to that range.
google::protobuf::Timestamp ToProto(TimePoint time);
TimePoint FromProto(const google::protobuf::Timestamp& time);
google::protobuf::Duration ToProtoDuration(std::chrono::nanoseconds duration);
std::chrono::nanoseconds FromProto(const google::protobuf::Duration& duration);

// "2026-11-22T09:30:00Z", with milliseconds or more where there are any.
std::string FormatTime(TimePoint time);
// RFC 3339 with any offset. INVALID_ARGUMENT where it is not that.
absl::StatusOr<TimePoint> ParseTime(std::string_view text);

}  // namespace yagura
