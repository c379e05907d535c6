#include "common/config/units.h"

#include <array>
#include <limits>
#include <utility>

#include "fmt/format.h"

#include "common/text/text.h"

namespace yagura::config {
namespace {

using Unit = std::pair<std::string_view, uint64_t>;

constexpr std::array<Unit, 5> kDurations = {
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};
constexpr std::array<Unit, 5> kSizes = {
    {{"TiB", 1ull << 40}, {"GiB", 1ull << 30}, {"MiB", 1ull << 20}, {"KiB", 1ull << 10}, {"", 1}}};

template <size_t N>
std::optional<uint64_t> Parse(std::string_view text, const std::array<Unit, N>& units) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = ParseNumber<uint64_t>(text.substr(0, digits));
  if (!number) return std::nullopt;
  for (const auto& [name, factor] : units) {
    if (text.substr(digits) != name) continue;
    if (*number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / factor) {
      return std::nullopt;
    }
    return *number * factor;
  }
  return std::nullopt;
}

template <size_t N>
std::string Format(uint64_t value, const std::array<Unit, N>& units) {
  for (const auto& [name, factor] : units) {
    if (value != 0 && value % factor == 0) return fmt::format("{}{}", value / factor, name);
  }
  return fmt::format("0{}", units.back().first);
}

}  // namespace

std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  const auto value = Parse(text, kDurations);
  if (!value) return std::nullopt;
  return std::chrono::milliseconds(*value);
}

std::string FormatDuration(std::chrono::milliseconds duration) {
  return Format(static_cast<uint64_t>(duration.count()), kDurations);
}

std::optional<uint64_t> ParseBytes(std::string_view text) { return Parse(text, kSizes); }

std::string FormatBytes(uint64_t bytes) { return Format(bytes, kSizes); }

}  // namespace yagura::config
