#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "yagura/detection/internal/v1/source_watch.pb.h"

namespace yagura::detection {

// What a source usually sends in one hour, and how that is known.
struct UsualLines {
  double lines = 0;   // median
  double spread = 0;  // median distance from it
  std::string basis;  // "the same hour of the 3 weeks before"
};

// Puts the count of an hour behind what is there; `lines` is empty where it is not known. An hour
// that is not later than the last is left out.
void AddHour(int64_t hour, std::optional<uint64_t> lines, internal::v1::HourHistory* history);

// From the same hour of two to four weeks before, since work has a weekly rhythm; where that is not
// there yet, of three to seven days before; else from six to 24 hours before. Nothing where there
// is even less.
std::optional<UsualLines> UsualOf(const internal::v1::HourHistory& history, int64_t hour);

struct VolumeLimits {
  double factor = 4;       // so many times more, or fewer
  uint64_t lines = 1'000;  // and at least so many lines more, or fewer
  double spreads = 6;      // and so many times the usual distance from the usual
};
enum class Volume { kUsual, kMore, kFewer };
Volume Judge(uint64_t lines, const UsualLines& usual, const VolumeLimits& limits);

}  // namespace yagura::detection
