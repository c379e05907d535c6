#include "cli/time_left.h"

#include "fmt/format.h"

namespace yagura::cli {
namespace {

constexpr double kLeastProgress = 0.001;
constexpr double kMinute = 60;
constexpr double kHour = 3'600;
constexpr double kDay = 24 * kHour;

std::string About(double seconds) {
  if (seconds < kMinute) return fmt::format("{:.0f} s", seconds);
  if (seconds < 2 * kHour) return fmt::format("{:.0f} min", seconds / kMinute);
  if (seconds < 2 * kDay) return fmt::format("{:.0f} h", seconds / kHour);
  return fmt::format("{:.0f} d", seconds / kDay);
}

}  // namespace

std::string TimeLeft(double progress, std::chrono::nanoseconds begun) {
  const double seconds = std::chrono::duration<double>(begun).count();
  if (progress < kLeastProgress || progress >= 1 || seconds <= 0) return "";
  const double a_second = progress / seconds;
  return fmt::format("{} at {:.2g} %/min", About((1 - progress) / a_second),
                     a_second * kMinute * 100);
}

}  // namespace yagura::cli
