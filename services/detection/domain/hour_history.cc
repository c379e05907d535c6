#include "services/detection/domain/hour_history.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "fmt/format.h"

namespace yagura::detection {
namespace {

using internal::v1::HourHistory;

constexpr int64_t kDay = 24;
constexpr int64_t kWeek = 7 * kDay;
constexpr int64_t kWeeks = 4;
constexpr int64_t kKept = kWeeks * kWeek;

std::optional<uint64_t> CountOf(const HourHistory& history, int64_t hour) {
  const int64_t back = history.last_hour() - hour;
  if (back < 0 || back >= history.counts_size()) return std::nullopt;
  const uint64_t count = history.counts(history.counts_size() - 1 - static_cast<int>(back));
  return count == 0 ? std::nullopt : std::optional(count - 1);
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

// Of the hours `step` apart before `hour`, at most `most`; nothing where fewer than `least` are
// known.
std::optional<UsualLines> UsualOf(const HourHistory& history, int64_t hour, int64_t step,
                                  int64_t least, int64_t most, const char* basis) {
  std::vector<double> values;
  for (int64_t i = 1; i <= most; ++i) {
    if (const auto count = CountOf(history, hour - i * step)) {
      values.push_back(static_cast<double>(*count));
    }
  }
  if (static_cast<int64_t>(values.size()) < least) return std::nullopt;
  UsualLines usual;
  usual.lines = Median(values);
  usual.basis = fmt::format(fmt::runtime(basis), values.size());
  for (double& value : values) value = std::abs(value - usual.lines);
  usual.spread = Median(values);
  return usual;
}

}  // namespace

void AddHour(int64_t hour, std::optional<uint64_t> lines, HourHistory* history) {
  auto& counts = *history->mutable_counts();
  if (!counts.empty() && hour <= history->last_hour()) return;
  const int64_t missing = counts.empty() ? 0 : hour - history->last_hour() - 1;
  if (missing >= kKept) counts.Clear();
  for (int64_t i = 0; i < missing && !counts.empty(); ++i) counts.Add(0);
  counts.Add(lines ? *lines + 1 : 0);
  history->set_last_hour(hour);
  const int extra = counts.size() - static_cast<int>(kKept);
  if (extra > 0) counts.erase(counts.begin(), counts.begin() + extra);
}

std::optional<UsualLines> UsualOf(const HourHistory& history, int64_t hour) {
  if (auto usual = UsualOf(history, hour, kWeek, 2, kWeeks, "the same hour of the {} weeks before"))
    return usual;
  if (auto usual = UsualOf(history, hour, kDay, 3, 7, "the same hour of {} of the days before")) {
    return usual;
  }
  return UsualOf(history, hour, 1, 6, kDay, "{} of the 24 hours before");
}

Volume Judge(uint64_t lines, const UsualLines& usual, const VolumeLimits& limits) {
  const auto count = static_cast<double>(lines);
  const double more = count - usual.lines;
  if (std::abs(more) < static_cast<double>(limits.lines)) return Volume::kUsual;
  if (std::abs(more) < limits.spreads * usual.spread) return Volume::kUsual;
  if (more > 0 && count >= limits.factor * usual.lines) return Volume::kMore;
  if (more < 0 && count * limits.factor <= usual.lines) return Volume::kFewer;
  return Volume::kUsual;
}

}  // namespace yagura::detection
