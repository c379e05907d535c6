#pragma once

#include <optional>
#include <string_view>

#include "common/clock/clock.h"
#include "services/ingestion/domain/source_zone.h"

// Times as devices write them.
namespace yagura::ingestion {

// "2026-11-21" and "09:15:42" or "09:15:42.123", as one local time in nanoseconds since 1970.
std::optional<std::chrono::nanoseconds> ReadDate(std::string_view text);
std::optional<std::chrono::nanoseconds> ReadTimeOfDay(std::string_view text);
// "+0900", "+09:00", "-0330", "Z".
std::optional<std::chrono::seconds> ReadOffset(std::string_view text);

// Of the letters of a zone that mean one offset nearly everywhere: "UTC", "JST", "CET", "EDT" (in
// Australia another one: ask the source's zone first) ... Nothing for those
// that several zones have, as "IST" (India, Ireland, Israel), "CST" (America, China) and "BST"
// have.
std::optional<std::chrono::seconds> ReadZoneName(std::string_view name);

// At the front of `text`: RFC 3339 with "T" or a space, "-", "/" or ":" in the date, fraction and
// offset optional (without one, in `zone`; `used_zone` then becomes true). Takes what it read off
// `text`.
std::optional<TimePoint> TakeIsoTime(std::string_view& text, const SourceZone& zone,
                                     bool* used_zone);
// At the front: "Nov 21 09:15:42", with milliseconds or a year ("Nov 21 2026 09:15:42", or behind
// the time) optional.
// The year is the one that puts the time closest to `receive_time`.
std::optional<TimePoint> TakeBsdTime(std::string_view& text, TimePoint receive_time,
                                     const SourceZone& zone);
// A number since 1970 in seconds (with fraction), milliseconds, microseconds or nanoseconds, told
// apart by its size.
std::optional<TimePoint> ReadEpoch(std::string_view text);

// A wall-clock time in a zone; whole seconds go through the zone, the fraction is kept.
TimePoint LocalToUtc(std::chrono::nanoseconds local, const SourceZone& zone);

}  // namespace yagura::ingestion
