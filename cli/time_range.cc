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

absl::StatusOr<std::chrono::seconds> ParseSpan(const std::string& text) {
  constexpr int64_t kMostUnits = 100'000;
  if (text.size() >= 2) {
    const auto count = ParseNumber<int64_t>(std::string_view(text).substr(0, text.size() - 1));
    const int64_t unit = SecondsOf(text.back());
    if (count && unit != 0 && *count >= 0 && *count <= kMostUnits) {
      return std::chrono::seconds(*count * unit);
    }
  }
  return InvalidField("duration", fmt::format("\"{}\" is not like 90s, 15m, 24h or 7d", text));
}

absl::StatusOr<TimePoint> ParseWhen(const std::string& text, TimePoint now) {
  if (text == "now") return now;
  if (const auto ago = ParseSpan(text); ago.ok()) return now - *ago;
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
