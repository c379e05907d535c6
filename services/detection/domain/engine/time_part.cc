#include "services/detection/domain/engine/time_part.h"

#include <array>
#include <chrono>

#include "common/text/text.h"

namespace yagura::detection {
namespace {

struct Row {
  std::string_view name;
  int64_t least;
  int64_t most;
};
// In the order of TimePart.
constexpr std::array<Row, 6> kRows{{{"minute", 0, 59},
                                    {"hour", 0, 23},
                                    {"day", 1, 31},
                                    {"week", 1, 53},
                                    {"month", 1, 12},
                                    {"year", 0, 9999}}};

std::optional<int> Digits(std::string_view text, size_t at, size_t count) {
  if (at + count > text.size()) return std::nullopt;
  int number = 0;
  for (const char c : text.substr(at, count)) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + (c - '0');
  }
  return number;
}

// Weeks begin on Monday and belong to the year that has their Thursday.
int IsoWeek(std::chrono::sys_days day) {
  using std::chrono::days;
  const auto weekday = std::chrono::weekday(day).iso_encoding();
  const auto thursday = day + days(4) - days(weekday);
  const auto year = std::chrono::year_month_day(thursday).year();
  const auto first = std::chrono::sys_days(year / std::chrono::January / 1);
  return static_cast<int>((thursday - first).count() / 7) + 1;
}

}  // namespace

std::optional<TimePart> TimePartByName(std::string_view name) {
  for (size_t i = 0; i < kRows.size(); ++i) {
    if (kRows[i].name == name) return static_cast<TimePart>(i);
  }
  return std::nullopt;
}

bool IsPossible(TimePart part, int64_t number) {
  const Row& row = kRows[static_cast<size_t>(part)];
  return row.least <= number && number <= row.most;
}

std::optional<int> ReadTimePart(std::string_view text, TimePart part) {
  text = Trim(text);
  const auto year = Digits(text, 0, 4);
  const auto month = Digits(text, 5, 2);
  const auto day = Digits(text, 8, 2);
  if (!year || !month || !day || text[4] != '-' || text[7] != '-') return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  switch (part) {
    case TimePart::kYear:
      return year;
    case TimePart::kMonth:
      return month;
    case TimePart::kWeek:
      return IsoWeek(std::chrono::sys_days(date));
    case TimePart::kDay:
      return day;
    case TimePart::kHour:
    case TimePart::kMinute:
      break;
  }
  const auto hour = Digits(text, 11, 2);
  const auto minute = Digits(text, 14, 2);
  const bool separated =
      text.size() > 13 && (text[10] == 'T' || text[10] == 't' || text[10] == ' ');
  if (!separated || text[13] != ':' || !hour || !minute || *hour > 23 || *minute > 59) {
    return std::nullopt;
  }
  return part == TimePart::kHour ? hour : minute;
}

}  // namespace yagura::detection
