#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// Durations and sizes as people write them in settings.
namespace yagura::config {

// "250ms", "30s", "5m", "12h", "7d"; nothing where it is not that or does not fit.
std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text);
// In the largest unit that divides it.
std::string FormatDuration(std::chrono::milliseconds duration);
// "4096", "64KiB", "16MiB", "2GiB", "1TiB".
std::optional<uint64_t> ParseBytes(std::string_view text);
std::string FormatBytes(uint64_t bytes);

}  // namespace yagura::config
