#pragma once

#include <chrono>
#include <string>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"

namespace yagura::cli {

// "2026-11-22T09:00:00Z", "2026-11-22" (midnight UTC), "now", or how long ago: "15m", "24h", "7d".
absl::StatusOr<TimePoint> ParseWhen(const std::string& text, TimePoint now);

// How long: "90s", "15m", "24h", "7d".
absl::StatusOr<std::chrono::seconds> ParseSpan(const std::string& text);

}  // namespace yagura::cli
