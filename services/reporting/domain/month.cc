#include "services/reporting/domain/month.h"

#include <stdexcept>

#include "date/tz.h"
#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::reporting {
namespace {

absl::StatusOr<const date::time_zone*> FindZone(const std::string& name) {
  try {
    return date::locate_zone(name);
  } catch (const std::runtime_error&) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "UNKNOWN_TIME_ZONE",
                     fmt::format("\"{}\" is not an IANA time zone", name));
  }
}

// Midnight of the first day. Where a zone skips it (a clock change at midnight), the first moment
// after.
TimePoint FirstMoment(const date::time_zone& zone, date::year_month month) {
  return zone.to_sys(date::local_days(month / 1), date::choose::earliest);
}

Month Make(const date::time_zone& zone, date::year_month month) {
  return {.text = fmt::format("{:04}-{:02}", static_cast<int>(month.year()),
                              static_cast<unsigned>(month.month())),
          .time_zone = zone.name(),
          .start = FirstMoment(zone, month),
          .end = FirstMoment(zone, month + date::months(1))};
}

absl::StatusOr<date::year_month> Parse(std::string_view text) {
  constexpr int kFirstYear = 2000;
  constexpr int kLastYear = 2200;
  const auto year = ParseNumber<int>(text.substr(0, 4));
  const auto number = text.size() == 7 ? ParseNumber<unsigned>(text.substr(5)) : std::nullopt;
  if (!year || !number || text[4] != '-' || *year < kFirstYear || *year > kLastYear ||
      *number < 1 || *number > 12) {
    return InvalidField("month", "must be a month such as 2026-10");
  }
  return date::year(*year) / date::month(*number);
}

}  // namespace

absl::StatusOr<Month> ParseMonth(std::string_view text, const std::string& time_zone) {
  YAGURA_ASSIGN_OR_RETURN(const auto month, Parse(text));
  YAGURA_ASSIGN_OR_RETURN(const auto* zone, FindZone(time_zone));
  return Make(*zone, month);
}

absl::StatusOr<Month> MonthBefore(const Month& month) {
  YAGURA_ASSIGN_OR_RETURN(const auto parsed, Parse(month.text));
  YAGURA_ASSIGN_OR_RETURN(const auto* zone, FindZone(month.time_zone));
  return Make(*zone, parsed - date::months(1));
}

std::string LocalTime(TimePoint time, const std::string& time_zone) {
  const auto zone = FindZone(time_zone);
  const auto minutes = date::floor<std::chrono::minutes>(time);
  return zone.ok() ? date::format("%Y-%m-%d %H:%M", date::make_zoned(*zone, minutes))
                   : date::format("%Y-%m-%d %H:%M UTC", minutes);
}

}  // namespace yagura::reporting
