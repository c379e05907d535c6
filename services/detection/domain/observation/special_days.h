#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "yagura/detection/v1/observation.pb.h"

namespace yagura::detection {

// A day on which work is not as usual, as policies name it: "2026-11-23", or with the weekday that
// it counts as, "2026-11-23=sun".
struct SpecialDay {
  std::chrono::sys_days date;
  std::optional<std::chrono::weekday> counts_as;
};

// Nothing where the text is none.
std::optional<SpecialDay> ParseSpecialDay(std::string_view text);

// The policy's entry of a day, "2026-11-23"; of several the first. What cannot be read is none.
std::optional<SpecialDay> FindSpecialDay(const v1::ObservationPolicy& policy, std::string_view day);

// How many days lie between the day and the last one before it of the weekday that it counts as;
// 0 where it counts as its own, or as none.
int DaysToItsLike(const SpecialDay& day);

}  // namespace yagura::detection
