#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"

namespace yagura::reporting {

// A calendar month in some time zone, as a half-open range of UTC time.
struct Month {
  std::string text;  // "2026-10"
  std::string time_zone;
  TimePoint start;
  TimePoint end;
};

// INVALID_ARGUMENT (field "month") where `text` is not YYYY-MM of the years 2000 to 2200; an
// unknown time zone is FAILED_PRECONDITION (UNKNOWN_TIME_ZONE).
absl::StatusOr<Month> ParseMonth(std::string_view text, const std::string& time_zone);
absl::StatusOr<Month> MonthBefore(const Month& month);

// "2026-10-03 14:05" in the time zone.
std::string LocalTime(TimePoint time, const std::string& time_zone);

}  // namespace yagura::reporting
