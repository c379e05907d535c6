#include "services/detection/domain/observation/baseline.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace yagura::detection {
namespace {

constexpr double kMadToSigma = 1.4826;
constexpr double kMebibyte = 1024.0 * 1024.0;
// Least relative spread of counts and of bytes.
constexpr double kLeastOfCounts = 0.15;
constexpr double kLeastOfBytes = 0.2;
constexpr size_t kLeastForTrend = 5;
constexpr double kTrendIsSure = 1.96;  // of Kendall's test, standardised
constexpr double kMostZ = 1000;
// What the other hours tell of the spread counts from so many values on.
constexpr size_t kLeastPooled = 6;

double Transform(Spread spread, double value) {
  value = std::max(value, 0.0);
  return spread == Spread::kCount ? 2 * std::sqrt(value + 0.375) : std::log(value + kMebibyte);
}

double Back(Spread spread, double transformed) {
  if (spread == Spread::kBytes) return std::max(std::exp(transformed) - kMebibyte, 0.0);
  const double root = std::max(transformed / 2, 0.0);
  return std::max(root * root - 0.375, 0.0);
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

// By how much the median absolute deviation of so few normal values is too small (Croux and
// Rousseeuw, 1992).
double SmallSample(size_t count) {
  constexpr std::array<double, 10> kFactors = {1,     1,     1.196, 1.495, 1.363,
                                               1.206, 1.200, 1.140, 1.129, 1.107};
  if (count < kFactors.size()) return kFactors[count];
  return static_cast<double>(count) / (static_cast<double>(count) - 0.8);
}

struct Line {
  double at_zero = 0;  // weeks ago
  double slope = 0;    // a week
  bool is_trend = false;
  double At(const WeekValue& week) const { return at_zero + slope * week.weeks_ago; }
};

// Kendall's test of whether values rise or fall with time, standardised.
double KendallOf(const std::vector<WeekValue>& weeks) {
  double concordant = 0;
  for (size_t i = 0; i < weeks.size(); ++i) {
    for (size_t j = i + 1; j < weeks.size(); ++j) {
      const double product = (weeks[i].value - weeks[j].value) *
                             static_cast<double>(weeks[i].weeks_ago - weeks[j].weeks_ago);
      concordant += product > 0 ? 1 : product < 0 ? -1 : 0;
    }
  }
  const auto n = static_cast<double>(weeks.size());
  const double deviation = std::sqrt(n * (n - 1) * (2 * n + 5) / 18);
  return std::max(std::abs(concordant) - 1, 0.0) / deviation;
}

// Of transformed values.
Line Fit(const std::vector<WeekValue>& weeks) {
  std::vector<double> values;
  for (const WeekValue& week : weeks) values.push_back(week.value);
  Line line{.at_zero = Median(values)};
  if (weeks.size() < kLeastForTrend || KendallOf(weeks) < kTrendIsSure) return line;
  std::vector<double> slopes;
  for (size_t i = 0; i < weeks.size(); ++i) {
    for (size_t j = i + 1; j < weeks.size(); ++j) {
      const int apart = weeks[i].weeks_ago - weeks[j].weeks_ago;
      if (apart != 0) slopes.push_back((weeks[i].value - weeks[j].value) / apart);
    }
  }
  if (slopes.empty()) return line;
  line.slope = Median(std::move(slopes));
  line.is_trend = true;
  for (size_t i = 0; i < weeks.size(); ++i) values[i] -= line.slope * weeks[i].weeks_ago;
  line.at_zero = Median(std::move(values));
  return line;
}

std::vector<WeekValue> Transformed(Spread spread, std::vector<WeekValue> weeks) {
  for (WeekValue& week : weeks) week.value = Transform(spread, week.value);
  return weeks;
}

// Distances from the group's own line, as large as they would be if that were not its own.
std::vector<double> Distances(const std::vector<WeekValue>& weeks, const Line& line) {
  const double factor = SmallSample(weeks.size() - (line.is_trend ? 1 : 0));
  std::vector<double> distances;
  for (const WeekValue& week : weeks) {
    distances.push_back(std::abs(week.value - line.At(week)) * factor);
  }
  return distances;
}

double LeastSpread(Spread spread, double center) {
  if (spread == Spread::kBytes) return kLeastOfBytes;
  return std::max(1.0, kLeastOfCounts * std::sqrt(Back(spread, center)));
}

}  // namespace

std::optional<Baseline> MakeBaseline(Spread spread, const std::vector<WeekValue>& own,
                                     const std::vector<std::vector<WeekValue>>& beside,
                                     const BaselineLimits& limits) {
  if (own.empty() || own.size() < limits.least_weeks) return std::nullopt;
  const std::vector<WeekValue> weeks = Transformed(spread, own);
  const Line line = Fit(weeks);
  std::vector<double> pooled = Distances(weeks, line);
  const double of_own = kMadToSigma * Median(pooled);
  for (const auto& group : beside) {
    if (group.size() < 3) continue;
    const std::vector<WeekValue> others = Transformed(spread, group);
    const std::vector<double> distances = Distances(others, Fit(others));
    pooled.insert(pooled.end(), distances.begin(), distances.end());
  }
  const double of_all = pooled.size() < kLeastPooled ? 0 : kMadToSigma * Median(pooled);
  Baseline baseline;
  baseline.weeks = weeks.size();
  baseline.has_trend = line.is_trend;
  baseline.spread = spread;
  baseline.limits = limits;
  baseline.center = line.at_zero;
  // Of a few values the spread is so uncertain that it counts half beside that of many.
  const double own_part = of_all > 0 && !beside.empty() ? of_own / 2 : of_own;
  const double sigma = std::max({own_part, of_all, LeastSpread(spread, baseline.center)});
  baseline.sigma = sigma * std::sqrt(1 + std::numbers::pi / 2 / static_cast<double>(weeks.size()));
  baseline.expected = Back(spread, baseline.center);
  const double away = limits.threshold * baseline.sigma;
  baseline.low = std::max(
      std::min(Back(spread, baseline.center - away), baseline.expected - limits.least_excess), 0.0);
  baseline.high =
      std::max(Back(spread, baseline.center + away), baseline.expected + limits.least_excess);
  for (const WeekValue& week : weeks) baseline.values.push_back(week.value);
  return baseline;
}

Surprise Judge(double observed, const Baseline& baseline) {
  Surprise surprise;
  const double transformed = Transform(baseline.spread, observed);
  surprise.z = std::clamp((transformed - baseline.center) / baseline.sigma, -kMostZ, kMostZ);
  if (baseline.expected > 0) surprise.ratio = std::max(observed, 0.0) / baseline.expected;
  const bool is_more = surprise.z > 0;
  if (std::abs(surprise.z) < baseline.limits.threshold) return surprise;
  if (std::abs(observed - baseline.expected) < baseline.limits.least_excess) return surprise;
  const auto as_far =
      std::count_if(baseline.values.begin(), baseline.values.end(), [&](double value) {
        return is_more ? value + baseline.sigma >= transformed
                       : value - baseline.sigma <= transformed;
      });
  if (static_cast<size_t>(as_far) > baseline.values.size() / 4) return surprise;
  surprise.verdict = is_more ? HourVerdict::kMore : HourVerdict::kFewer;
  return surprise;
}

}  // namespace yagura::detection
