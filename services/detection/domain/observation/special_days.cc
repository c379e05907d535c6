#include "services/detection/domain/observation/special_days.h"

#include <algorithm>
#include <array>

#include "common/text/text.h"

namespace yagura::detection {
namespace {

constexpr std::array<std::string_view, 7> kWeekdays = {"sun", "mon", "tue", "wed",
                                                       "thu", "fri", "sat"};
constexpr size_t kDateSize = 10;

std::optional<std::chrono::sys_days> ParseDate(std::string_view text) {
  if (text.size() != kDateSize || text[4] != '-' || text[7] != '-') return std::nullopt;
  const auto year = ParseNumber<int>(text.substr(0, 4));
  const auto month = ParseNumber<unsigned>(text.substr(5, 2));
  const auto day = ParseNumber<unsigned>(text.substr(8));
  if (!year || !month || !day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(*month),
                                         std::chrono::day(*day)};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date);
}

}  // namespace

std::optional<SpecialDay> ParseSpecialDay(std::string_view text) {
  const auto date = ParseDate(text.substr(0, kDateSize));
  if (!date) return std::nullopt;
  if (text.size() == kDateSize) return SpecialDay{*date, std::nullopt};
  if (text[kDateSize] != '=') return std::nullopt;
  const auto found = std::ranges::find(kWeekdays, ToLower(text.substr(kDateSize + 1)));
  if (found == kWeekdays.end()) return std::nullopt;
  return SpecialDay{*date, std::chrono::weekday(static_cast<unsigned>(found - kWeekdays.begin()))};
}

std::optional<SpecialDay> FindSpecialDay(const v1::ObservationPolicy& policy,
                                         std::string_view day) {
  for (const auto& text : policy.special_days()) {
    if (std::string_view(text).substr(0, kDateSize) == day) return ParseSpecialDay(text);
  }
  return std::nullopt;
}

int DaysToItsLike(const SpecialDay& day) {
  if (!day.counts_as) return 0;
  return static_cast<int>((std::chrono::weekday(day.date) - *day.counts_as).count());
}

}  // namespace yagura::detection
