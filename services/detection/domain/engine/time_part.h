#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace yagura::detection {

// A number of a point in time, as Sigma's time modifiers name it.
enum class TimePart : uint8_t { kMinute, kHour, kDay, kWeek, kMonth, kYear };

// "minute" to "year"; nothing for any other word.
std::optional<TimePart> TimePartByName(std::string_view name);
// What the part can be: minutes from 0 to 59, weeks of ISO 8601 from 1 to 53.
bool IsPossible(TimePart part, int64_t number);
// The part of an ISO 8601 date, or date and time ("2026-11-22T08:15:00Z", "2026-11-22 08:15"), as
// it is written: zones are not looked at. Nothing where the text does not have it.
std::optional<int> ReadTimePart(std::string_view text, TimePart part);

}  // namespace yagura::detection
