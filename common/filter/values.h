#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/clock/clock.h"
#include "common/filter/node.h"

// Texts of a filter as values; nothing where a text is not one. Private to common/filter.
namespace yagura::filter {

struct IpRange {
  IpBytes low;
  IpBytes high;
};

// 4 or 16 bytes as 16, IPv4 mapped; all zero for anything else (missing).
IpBytes ToIpBytes(std::string_view bytes);
// An address, CIDR block or range "a-b".
std::optional<IpRange> ParseIpRange(std::string_view text);
// RFC 3339, "2026-11-22", "now", "now-1h30m" (the latter two only where `now` is given).
std::optional<int64_t> ParseTimeNanos(std::string_view text, std::optional<TimePoint> now);
// "30s", "1.5h", "1h30m", "-5m"; units ns us ms s m h d w.
std::optional<int64_t> ParseDurationNanos(std::string_view text);
// What the ordering of a text as a number goes by: -?[0-9]{1,18}.
std::optional<int64_t> WholeNumber(std::string_view text);

}  // namespace yagura::filter
