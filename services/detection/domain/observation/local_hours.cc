#include "services/detection/domain/observation/local_hours.h"

#include <chrono>
#include <stdexcept>

#include "date/tz.h"
#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/printable.h"

namespace yagura::detection {
namespace {

std::chrono::sys_seconds BeginOf(int64_t hour) {
  return std::chrono::sys_seconds(std::chrono::hours(hour));
}

}  // namespace

absl::StatusOr<LocalHours> LocalHours::Make(const std::string& zone) {
  try {
    const date::time_zone* found = date::locate_zone(zone);
    return LocalHours(zone, found);
  } catch (const std::runtime_error&) {
    return MakeError(absl::StatusCode::kInvalidArgument, "UNKNOWN_TIME_ZONE",
                     fmt::format("\"{}\" is not an IANA time zone", Printable(zone, 64)));
  }
}

std::string LocalHours::Text(int64_t hour) const {
  return date::format("%a %Y-%m-%d %H:%M", zone_->to_local(BeginOf(hour)));
}

std::string LocalHours::Day(int64_t hour) const {
  return date::format("%Y-%m-%d", zone_->to_local(BeginOf(hour)));
}

std::optional<int64_t> LocalHours::DaysBefore(int64_t hour, int days) const {
  const auto local = zone_->to_local(BeginOf(hour)) - date::days(days);
  const date::local_info info = zone_->get_info(local);
  if (info.result == date::local_info::nonexistent) return std::nullopt;
  const auto begin = zone_->to_sys(local, date::choose::earliest);
  return std::chrono::floor<std::chrono::hours>(begin).time_since_epoch().count();
}

}  // namespace yagura::detection
