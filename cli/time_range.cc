#include "cli/time_range.h"

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::cli {
namespace {

// Seconds of "m", "h", "d"; 0 for anything else.
int64_t SecondsOf(char unit) {
  switch (unit) {
    case 's':
      return 1;
    case 'm':
      return 60;
    case 'h':
      return 3600;
    case 'd':
      return 86400;
    default:
      return 0;
  }
}

}  // namespace

absl::StatusOr<TimePoint> ParseWhen(const std::string& text, TimePoint now) {
  constexpr int64_t kMostUnits = 100'000;
  if (text == "now") return now;
  if (text.size() >= 2) {
    const auto count = ParseNumber<int64_t>(std::string_view(text).substr(0, text.size() - 1));
    const int64_t unit = SecondsOf(text.back());
    if (count && unit != 0 && *count >= 0 && *count <= kMostUnits) {
      return now - std::chrono::seconds(*count * unit);
    }
  }
  const bool date = text.size() == 10 && text.find('T') == std::string::npos;
  auto time = ParseTime(date ? text + "T00:00:00Z" : text);
  if (!time.ok()) {
    return InvalidField("time", fmt::format("\"{}\" is neither a time (2026-11-22T09:00:00Z, "
                                            "2026-11-22) nor how long ago (15m, 24h, 7d)",
                                            text));
  }
  return time;
}

}  // namespace yagura::cli
