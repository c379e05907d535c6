#include "services/ingestion/domain/time_text.h"

#include <array>
#include <cstdint>

#include "common/text/text.h"

namespace yagura::ingestion {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Takes exactly `digits` digits, at most `high`; -1 where they are not there.
int TakeNumber(std::string_view& text, size_t digits, int low, int high) {
  if (text.size() < digits) return -1;
  int value = 0;
  for (size_t i = 0; i < digits; ++i) {
    if (!IsDigit(text[i])) return -1;
    value = value * 10 + (text[i] - '0');
  }
  if (value < low || value > high) return -1;
  text.remove_prefix(digits);
  return value;
}

bool TakeChar(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<nanoseconds> DaysOf(int year, int month, int day) {
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  // Outside these years nanoseconds do not fit.
  if (!date.ok() || year < 1700 || year > 2250) return std::nullopt;
  return nanoseconds(std::chrono::sys_days(date).time_since_epoch());
}

std::optional<nanoseconds> TakeDate(std::string_view& text) {
  const int year = TakeNumber(text, 4, 0, 9999);
  const char separator = text.starts_with('/') || text.starts_with(':') ? text.front() : '-';
  if (year < 0 || !TakeChar(text, separator)) return std::nullopt;
  const int month = TakeNumber(text, 2, 1, 12);
  if (month < 0 || !TakeChar(text, separator)) return std::nullopt;
  const int day = TakeNumber(text, 2, 1, 31);
  if (day < 0) return std::nullopt;
  return DaysOf(year, month, day);
}

nanoseconds TakeFraction(std::string_view& text) {
  int64_t value = 0;
  int64_t unit = 1'000'000'000;
  while (!text.empty() && IsDigit(text.front())) {
    if (unit > 1) {
      unit /= 10;
      value += (text.front() - '0') * unit;
    }
    text.remove_prefix(1);
  }
  return nanoseconds(value);
}

std::optional<nanoseconds> TakeTimeOfDay(std::string_view& text) {
  const int hour = TakeNumber(text, 2, 0, 23);
  if (hour < 0 || !TakeChar(text, ':')) return std::nullopt;
  const int minute = TakeNumber(text, 2, 0, 59);
  if (minute < 0 || !TakeChar(text, ':')) return std::nullopt;
  const int second = TakeNumber(text, 2, 0, 60);  // 60: a leap second
  if (second < 0) return std::nullopt;
  nanoseconds time = seconds(hour * 3600 + minute * 60 + second);
  if (text.size() > 1 && (text[0] == '.' || text[0] == ',') && IsDigit(text[1])) {
    text.remove_prefix(1);
    time += TakeFraction(text);
  }
  return time;
}

std::optional<seconds> TakeOffset(std::string_view& text) {
  if (TakeChar(text, 'Z')) return seconds(0);
  if (text.empty() || (text.front() != '+' && text.front() != '-')) return std::nullopt;
  std::string_view rest = text.substr(1);
  const int hours = TakeNumber(rest, 2, 0, 18);
  if (hours < 0) return std::nullopt;
  TakeChar(rest, ':');
  const int minutes = TakeNumber(rest, 2, 0, 59);
  if (minutes < 0) return std::nullopt;
  const seconds offset(hours * 3600 + minutes * 60);
  const bool negative = text.front() == '-';
  text = rest;
  return negative ? -offset : offset;
}

int TakeMonth(std::string_view& text) {
  constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  for (size_t i = 0; i < kMonths.size(); ++i) {
    if (text.starts_with(kMonths[i])) {
      text.remove_prefix(3);
      return static_cast<int>(i) + 1;
    }
  }
  return 0;
}

// "Nov  1" and "Nov 01".
int TakeDay(std::string_view& text) {
  if (TakeChar(text, ' ')) return TakeNumber(text, 1, 1, 9);
  if (text.size() > 1 && IsDigit(text[0]) && !IsDigit(text[1])) return TakeNumber(text, 1, 1, 9);
  return TakeNumber(text, 2, 1, 31);
}

// No clock is a day ahead, zones included: then it is a time of the year before.
std::optional<TimePoint> WithLikelyYear(int month, int day, nanoseconds time_of_day,
                                        TimePoint receive_time, const SourceZone& zone) {
  const auto today = std::chrono::floor<std::chrono::days>(receive_time);
  const int this_year = static_cast<int>(std::chrono::year_month_day(today).year());
  std::optional<TimePoint> best;
  for (const int year : {this_year, this_year - 1, this_year + 1}) {
    const auto days = DaysOf(year, month, day);
    if (!days) continue;  // 29 February of a common year
    const TimePoint time = LocalToUtc(*days + time_of_day, zone);
    if (time <= receive_time + std::chrono::days(1) && (!best || time > *best)) best = time;
  }
  return best;
}

}  // namespace

std::optional<nanoseconds> ReadDate(std::string_view text) {
  const auto date = TakeDate(text);
  return text.empty() ? date : std::nullopt;
}

std::optional<nanoseconds> ReadTimeOfDay(std::string_view text) {
  const auto time = TakeTimeOfDay(text);
  return text.empty() ? time : std::nullopt;
}

std::optional<seconds> ReadOffset(std::string_view text) {
  const auto offset = TakeOffset(text);
  return text.empty() ? offset : std::nullopt;
}

std::optional<TimePoint> TakeIsoTime(std::string_view& text, const SourceZone& zone,
                                     bool* used_zone) {
  std::string_view rest = text;
  const auto date = TakeDate(rest);
  if (!date) return std::nullopt;
  const bool utm = text[4] == ':' && TakeChar(rest, '-');  // Sophos UTM's "2026:11:21-09:15:42"
  if (!utm && !TakeChar(rest, 'T') && !TakeChar(rest, ' ')) return std::nullopt;
  const auto time = TakeTimeOfDay(rest);
  if (!time) return std::nullopt;
  auto offset = TakeOffset(rest);
  if (offset) TakeChar(rest, 'Z');  // some senders write "+09:00Z"
  if (!offset && rest.size() > 2 && rest[0] == ' ' && (rest[1] == '+' || rest[1] == '-')) {
    std::string_view after = rest.substr(1);  // "2026-11-21 09:15:42 +0900"
    offset = TakeOffset(after);
    if (offset && !after.empty() && after.front() != ' ') offset.reset();
    if (offset) rest = after;
  }
  text = rest;
  if (offset) return TimePoint(*date + *time - *offset);
  if (used_zone != nullptr) *used_zone = true;
  return LocalToUtc(*date + *time, zone);
}

std::optional<TimePoint> TakeBsdTime(std::string_view& text, TimePoint receive_time,
                                     const SourceZone& zone) {
  std::string_view rest = text;
  const int month = TakeMonth(rest);
  if (month == 0 || !TakeChar(rest, ' ')) return std::nullopt;
  const int day = TakeDay(rest);
  if (day < 1 || !TakeChar(rest, ' ')) return std::nullopt;
  int year = -1;
  if (rest.size() > 4 && rest[4] == ' ') {
    year = TakeNumber(rest, 4, 1970, 2249);
    if (year < 0 || !TakeChar(rest, ' ')) return std::nullopt;
  }
  const auto time = TakeTimeOfDay(rest);
  if (!time) return std::nullopt;
  if (year < 0) {
    // "Nov 21 09:15:42 2026 host": nobody calls a host like a year.
    std::string_view after = rest;
    if (TakeChar(after, ' ')) {
      const int behind = TakeNumber(after, 4, 1970, 2249);
      if (behind >= 0 && (after.empty() || after.front() == ' ' || after.starts_with(": "))) {
        year = behind;
        rest = after;
      }
    }
  }
  std::optional<TimePoint> result;
  if (year >= 0) {
    if (const auto days = DaysOf(year, month, day)) result = LocalToUtc(*days + *time, zone);
  } else {
    result = WithLikelyYear(month, day, *time, receive_time, zone);
  }
  if (result) text = rest;
  return result;
}

std::optional<TimePoint> ReadEpoch(std::string_view text) {
  const size_t dot = text.find('.');
  const auto whole = ParseNumber<int64_t>(text.substr(0, dot));
  if (!whole || *whole <= 0) return std::nullopt;
  if (dot != text.npos) {
    std::string_view fraction = text.substr(dot + 1);
    if (*whole > 9'000'000'000) return std::nullopt;
    const nanoseconds rest = TakeFraction(fraction);
    if (!fraction.empty()) return std::nullopt;
    return TimePoint(seconds(*whole)) + rest;
  }
  constexpr int64_t kSecondsLimit = 9'000'000'000;
  if (*whole < kSecondsLimit) return TimePoint(seconds(*whole));
  if (*whole < kSecondsLimit * 1000) return TimePoint(std::chrono::milliseconds(*whole));
  if (*whole < kSecondsLimit * 1'000'000) return TimePoint(std::chrono::microseconds(*whole));
  return TimePoint(nanoseconds(*whole));
}

std::optional<seconds> ReadZoneName(std::string_view name) {
  struct Zone {
    std::string_view name;
    int hours;
  };
  constexpr std::array kZones{
      Zone{"UTC", 0},  Zone{"GMT", 0},  Zone{"JST", 9},  Zone{"CET", 1},  Zone{"CEST", 2},
      Zone{"EET", 2},  Zone{"EEST", 3}, Zone{"MSK", 3},  Zone{"EST", -5}, Zone{"EDT", -4},
      Zone{"CDT", -5}, Zone{"MDT", -6}, Zone{"PST", -8}, Zone{"PDT", -7},
  };
  for (const Zone& zone : kZones) {
    if (zone.name == name) return std::chrono::hours(zone.hours);
  }
  return std::nullopt;
}

TimePoint LocalToUtc(nanoseconds local, const SourceZone& zone) {
  const auto whole = std::chrono::floor<seconds>(local);
  return TimePoint(zone.ToUtc(LocalSeconds(whole))) + (local - whole);
}

}  // namespace yagura::ingestion
