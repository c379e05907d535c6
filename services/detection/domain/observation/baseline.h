#pragma once

#include <optional>
#include <vector>

// What is usual for a number at one hour of the week, and how surprising another one is. Plain
// arithmetic: no clock, no names.
namespace yagura::detection {

// How a number spreads. Its transformation makes the spread about the same everywhere, so that one
// threshold fits all: Anscombe's 2 * sqrt(x + 3/8) for counts (whose variance grows with their
// mean), the logarithm of x plus a mebibyte for bytes (which differ by factors).
enum class Spread { kCount, kBytes };

// The number of the same hour of the week, so many weeks ago.
struct WeekValue {
  int weeks_ago = 1;
  double value = 0;
};

struct BaselineLimits {
  size_t least_weeks = 3;
  double threshold = 6;     // robust standard deviations
  double least_excess = 0;  // and so much more or fewer
};

struct Baseline {
  size_t weeks = 0;
  bool has_trend = false;
  double expected = 0;
  double low = 0;   // below differs
  double high = 0;  // above differs
  // As transformed.
  double center = 0;
  double sigma = 1;
  std::vector<double> values;  // of the weeks, as transformed
  Spread spread = Spread::kCount;
  BaselineLimits limits;
};

// From the known values of the same hour of the week (`own`) and of the hours beside it (`beside`,
// each a group of its own), which tell of the spread alone: with three to eight values of its own
// an hour would now and then have next to none. Nothing where fewer than `least_weeks` are known.
//
// Centre: the median; from five weeks on, where Kendall's test finds a steady rise or fall, the
// line of Theil and Sen. Spread: the largest of the median absolute deviation of its own values
// (for small samples after Croux and Rousseeuw; half of it where there are groups beside), of that
// of all groups together, and of what such a number has at least (counts: as Poisson's, and 15 % of
// the mean; bytes: 20 %); widened by what the centre itself is uncertain by. Up to half of the
// weeks may be anything.
std::optional<Baseline> MakeBaseline(Spread spread, const std::vector<WeekValue>& own,
                                     const std::vector<std::vector<WeekValue>>& beside,
                                     const BaselineLimits& limits);

enum class HourVerdict { kUsual, kMore, kFewer };
struct Surprise {
  HourVerdict verdict = HourVerdict::kUsual;
  double z = 0;      // -1000 to 1000
  double ratio = 0;  // observed / expected; 0 where nothing is expected
};
// Far more or far fewer: beyond the threshold, by `least_excess` at least, and further out than all
// but a quarter of the weeks were themselves (a number that is mostly zero, and now and then not,
// is no surprise when it is not again).
Surprise Judge(double observed, const Baseline& baseline);

}  // namespace yagura::detection
