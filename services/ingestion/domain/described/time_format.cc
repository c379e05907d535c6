#include "services/ingestion/domain/described/time_format.h"

#include <algorithm>
#include <array>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"
#include "services/ingestion/domain/time_text.h"

namespace yagura::ingestion {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// What a text has told so far.
struct Parts {
  int year = -1;
  int month = 1;
  int day = 1;
  int day_of_year = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
  bool afternoon = false;
  bool twelve_hours = false;
  nanoseconds fraction{0};
  std::optional<seconds> offset;
  std::optional<TimePoint> epoch;
};

// One to `digits` digits between low and high.
bool TakeInt(std::string_view& text, size_t digits, int low, int high, int* value) {
  size_t size = 0;
  int number = 0;
  while (size < digits && size < text.size() && IsDigit(text[size])) {
    number = number * 10 + (text[size++] - '0');
  }
  if (size == 0 || number < low || number > high) return false;
  *value = number;
  text.remove_prefix(size);
  return true;
}

void SkipSpaces(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
}

bool TakeMonthName(std::string_view& text, int* month) {
  constexpr std::array<std::string_view, 12> kNames{"jan", "feb", "mar", "apr", "may", "jun",
                                                    "jul", "aug", "sep", "oct", "nov", "dec"};
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (!EqualsIgnoreCase(text.substr(0, 3), kNames[i])) continue;
    *month = static_cast<int>(i) + 1;
    text.remove_prefix(3);
    return true;
  }
  return false;
}

bool TakeFraction(std::string_view& text, nanoseconds* fraction) {
  if (text.empty() || !IsDigit(text.front())) return false;
  int64_t value = 0;
  int64_t unit = 1'000'000'000;
  for (; !text.empty() && IsDigit(text.front()); text.remove_prefix(1)) {
    unit /= 10;
    value += (text.front() - '0') * unit;
  }
  *fraction = nanoseconds(value);
  return true;
}

bool TakeNoon(std::string_view& text, Parts* parts) {
  const std::string_view word = text.substr(0, 2);
  parts->afternoon = EqualsIgnoreCase(word, "pm");
  if (!parts->afternoon && !EqualsIgnoreCase(word, "am")) return false;
  text.remove_prefix(2);
  return true;
}

bool TakeZone(std::string_view& text, Parts* parts) {
  size_t size = 0;
  while (size < text.size() && (IsDigit(text[size]) || text[size] == '+' || text[size] == '-' ||
                                text[size] == ':' || text[size] == 'Z')) {
    ++size;
  }
  parts->offset = ReadOffset(text.substr(0, size));
  text.remove_prefix(size);
  return parts->offset.has_value();
}

// A zone by its letters: these are unmistakable, and with all others the source's zone is meant.
bool TakeZoneName(std::string_view& text, Parts* parts) {
  size_t size = 0;
  while (size < text.size() && text[size] >= 'A' && text[size] <= 'Z') ++size;
  const std::string_view name = text.substr(0, size);
  if (name == "Z") {
    parts->offset = seconds(0);
  } else if (const auto offset = ReadZoneName(name)) {
    parts->offset = *offset;
  }
  text.remove_prefix(size);
  return size > 0;
}

bool TakeEpoch(std::string_view& text, Parts* parts) {
  const size_t size = std::min(text.find_first_not_of("0123456789."), text.size());
  parts->epoch = ReadEpoch(text.substr(0, size));
  text.remove_prefix(size);
  return parts->epoch.has_value();
}

bool TakePart(char letter, std::string_view& text, Parts* parts) {
  switch (letter) {
    case 'Y':
      return TakeInt(text, 4, 1700, 2250, &parts->year);
    case 'y':
      if (!TakeInt(text, 2, 0, 99, &parts->year)) return false;
      parts->year += 2000;
      return true;
    case 'm':
      return TakeInt(text, 2, 1, 12, &parts->month);
    case 'b':
      return TakeMonthName(text, &parts->month);
    case 'e':
    case 'd':
      SkipSpaces(text);
      return TakeInt(text, 2, 1, 31, &parts->day);
    case 'j':
      return TakeInt(text, 3, 1, 366, &parts->day_of_year);
    case 'H':
      return TakeInt(text, 2, 0, 23, &parts->hour);
    case 'I':
      SkipSpaces(text);
      parts->twelve_hours = true;
      return TakeInt(text, 2, 1, 12, &parts->hour);
    case 'p':
      return TakeNoon(text, parts);
    case 'M':
      return TakeInt(text, 2, 0, 59, &parts->minute);
    case 'S':
      return TakeInt(text, 2, 0, 60, &parts->second);
    case 'f':
      return TakeFraction(text, &parts->fraction);
    case 'z':
      return TakeZone(text, parts);
    case 'Z':
      return TakeZoneName(text, parts);
    case 's':
      return TakeEpoch(text, parts);
    default:
      return false;
  }
}

bool TakeAll(std::string_view format, std::string_view text, Parts* parts) {
  while (!format.empty()) {
    if (format.front() == '%' && format.size() > 1 && format[1] != '%') {
      if (!TakePart(format[1], text, parts)) return false;
      format.remove_prefix(2);
      continue;
    }
    if (format.front() == '%') format.remove_prefix(1);
    if (format.front() == ' ') {
      if (text.empty() || text.front() != ' ') return false;
      SkipSpaces(text);
    } else {
      if (text.empty() || text.front() != format.front()) return false;
      text.remove_prefix(1);
    }
    format.remove_prefix(1);
  }
  return true;
}

// The wall clock of the parts in that year; nothing where there is no such day.
std::optional<nanoseconds> LocalTime(const Parts& parts, int year) {
  std::chrono::sys_days days;
  if (parts.day_of_year > 0) {
    days = std::chrono::sys_days(std::chrono::year(year) / 1 / 1) +
           std::chrono::days(parts.day_of_year - 1);
  } else {
    const auto date = std::chrono::year(year) / parts.month / parts.day;
    if (!date.ok()) return std::nullopt;
    days = date;
  }
  int hour = parts.hour;
  if (parts.twelve_hours) hour = hour % 12 + (parts.afternoon ? 12 : 0);
  return nanoseconds(days.time_since_epoch()) +
         seconds(hour * 3600 + parts.minute * 60 + parts.second) + parts.fraction;
}

std::optional<TimePoint> ToTime(const Parts& parts, int year, const SourceZone& zone) {
  const auto local = LocalTime(parts, year);
  if (!local) return std::nullopt;
  if (parts.offset)
    return TimePoint(std::chrono::duration_cast<TimePoint::duration>(*local - *parts.offset));
  return LocalToUtc(*local, zone);
}

// As for a line of syslog: of the times that are not more than a day ahead, the latest.
std::optional<TimePoint> InLikelyYear(const Parts& parts, TimePoint receive_time,
                                      const SourceZone& zone) {
  const auto today = std::chrono::floor<std::chrono::days>(receive_time);
  const int this_year = static_cast<int>(std::chrono::year_month_day(today).year());
  std::optional<TimePoint> best;
  for (const int year : {this_year, this_year - 1, this_year + 1}) {
    const auto time = ToTime(parts, year, zone);
    if (!time || *time > receive_time + std::chrono::days(1)) continue;
    if (!best || *time > *best) best = time;
  }
  return best;
}

}  // namespace

absl::StatusOr<TimeFormat> TimeFormat::Parse(std::string_view format) {
  constexpr std::string_view kLetters = "YymbdeHIpMSfzZjs%";
  for (size_t at = format.find('%'); at != format.npos; at = format.find('%', at + 2)) {
    if (at + 1 >= format.size() || kLetters.find(format[at + 1]) == kLetters.npos) {
      return InvalidField("format", fmt::format("\"{}\" has an unknown letter after %", format));
    }
  }
  if (format.empty()) return InvalidField("format", "is empty");
  TimeFormat result;
  result.format_ = format;
  return result;
}

std::optional<TimePoint> TimeFormat::Read(std::string_view text, TimePoint receive_time,
                                          const SourceZone& zone, bool* zone_used) const {
  text = Trim(text);
  if (format_ == "iso") return TakeIsoTime(text, zone, zone_used);
  if (format_ == "epoch") return ReadEpoch(text);
  if (format_ == "bsd") {
    const auto time = TakeBsdTime(text, receive_time, zone);
    if (time) *zone_used = true;
    return time;
  }
  Parts parts;
  if (!TakeAll(format_, text, &parts)) return std::nullopt;
  if (parts.epoch) return parts.epoch;
  const auto time =
      parts.year < 0 ? InLikelyYear(parts, receive_time, zone) : ToTime(parts, parts.year, zone);
  if (time && !parts.offset) *zone_used = true;
  return time;
}

}  // namespace yagura::ingestion
