// What is usual at an hour of the week, and what is surprising: properties that must hold for
// made-up weeks with outages, bursts, trends and changes of the clocks. Seeds are fixed and
// printed.
#include "services/detection/domain/observation/baseline.h"

#include <cmath>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "services/detection/domain/observation/local_hours.h"
#include "services/detection/domain/observation/observed_hours.h"

namespace yagura::detection {
namespace {

std::vector<WeekValue> Weeks(const std::vector<double>& values) {
  std::vector<WeekValue> weeks;
  for (size_t i = 0; i < values.size(); ++i) weeks.push_back({static_cast<int>(i) + 1, values[i]});
  return weeks;
}

Baseline Make(Spread spread, const std::vector<double>& own,
              const std::vector<std::vector<double>>& beside = {}, double least_excess = 0) {
  std::vector<std::vector<WeekValue>> groups;
  for (const auto& group : beside) groups.push_back(Weeks(group));
  auto baseline = MakeBaseline(spread, Weeks(own), groups, {.least_excess = least_excess});
  EXPECT_TRUE(baseline.has_value());
  return baseline.value_or(Baseline());
}

TEST(BaselineTest, NothingIsUsualBeforeThreeWeeksAreKnown) {
  EXPECT_FALSE(MakeBaseline(Spread::kCount, {}, {}, {}));
  EXPECT_FALSE(MakeBaseline(Spread::kCount, Weeks({5, 5}), {}, {}));
  EXPECT_TRUE(MakeBaseline(Spread::kCount, Weeks({5, 5, 5}), {}, {}));
}

TEST(BaselineTest, TheMedianIsExpectedAndItsBandFitsTheThreshold) {
  const Baseline baseline = Make(Spread::kCount, {98, 100, 104, 97, 102, 99, 101, 100});
  EXPECT_NEAR(baseline.expected, 100, 1);
  EXPECT_FALSE(baseline.has_trend);
  EXPECT_LT(baseline.low, 60);
  EXPECT_GT(baseline.high, 160);
  EXPECT_EQ(Judge(100, baseline).verdict, HourVerdict::kUsual);
  EXPECT_EQ(Judge(baseline.high * 0.99, baseline).verdict, HourVerdict::kUsual);
  EXPECT_EQ(Judge(baseline.high * 1.01, baseline).verdict, HourVerdict::kMore);
  EXPECT_EQ(Judge(baseline.low * 1.01, baseline).verdict, HourVerdict::kUsual);
  EXPECT_EQ(Judge(baseline.low * 0.99 - 1, baseline).verdict, HourVerdict::kFewer);
  EXPECT_NEAR(Judge(300, baseline).ratio, 3, 0.05);
  EXPECT_LT(Judge(0, baseline).z, -6);
}

TEST(BaselineTest, UpToHalfOfTheWeeksMayBeAnything) {
  const double clean = Make(Spread::kCount, {100, 100, 100, 100, 100, 100, 100, 100}).expected;
  for (const double wild : {0.0, 1e4, 1e9}) {
    const Baseline baseline = Make(Spread::kCount, {wild, 100, wild, 103, 98, wild, 101, 100});
    EXPECT_NEAR(baseline.expected, clean, 5) << wild;
    EXPECT_EQ(Judge(2'000'000, baseline).verdict,
              wild > 1e6 ? HourVerdict::kUsual : HourVerdict::kMore)
        << "what came in more than a quarter of the weeks is no surprise";
  }
}

TEST(BaselineTest, WhatIsMostlyZeroIsSurprisedByAnAttackButNotByWhatItNowAndThenHas) {
  const Baseline zero = Make(Spread::kCount, {0, 0, 0, 0, 0, 0, 0, 0}, {}, 10);
  EXPECT_NEAR(zero.expected, 0, 0.01);
  EXPECT_EQ(Judge(0, zero).verdict, HourVerdict::kUsual);
  EXPECT_EQ(Judge(9, zero).verdict, HourVerdict::kUsual);
  EXPECT_EQ(Judge(60, zero).verdict, HourVerdict::kMore);
  EXPECT_EQ(Judge(60, zero).ratio, 0) << "nothing is expected";
  const Baseline inflated = Make(Spread::kCount, {0, 500, 0, 0, 480, 0, 510, 0}, {}, 10);
  EXPECT_EQ(Judge(500, inflated).verdict, HourVerdict::kUsual);
  EXPECT_EQ(Judge(5'000, inflated).verdict, HourVerdict::kMore);
  EXPECT_EQ(Judge(0, inflated).verdict, HourVerdict::kUsual);
}

TEST(BaselineTest, ASteadyRiseIsFollowedAndNoiseIsNone) {
  std::vector<double> rising;
  for (int week = 1; week <= 8; ++week) rising.push_back(1000 * std::pow(1.2, -week));
  const Baseline trend = Make(Spread::kCount, rising);
  EXPECT_TRUE(trend.has_trend);
  EXPECT_NEAR(trend.expected, 1000, 120);
  EXPECT_EQ(Judge(1000, trend).verdict, HourVerdict::kUsual);
  EXPECT_EQ(Judge(5000, trend).verdict, HourVerdict::kMore);
  EXPECT_EQ(Judge(100, trend).verdict, HourVerdict::kFewer);
  EXPECT_FALSE(Make(Spread::kCount, {10, 30, 12, 28, 11, 27, 13, 29}).has_trend);
}

TEST(BaselineTest, HoursBesideTellOfTheSpreadThatThreeValuesHide) {
  const std::vector<double> own = {100, 100, 100};
  const Baseline alone = Make(Spread::kCount, own);
  const Baseline among =
      Make(Spread::kCount, own, {{20, 100, 400}, {50, 150, 600}, {10, 90, 300}, {30, 80, 500}});
  EXPECT_NEAR(alone.expected, among.expected, 0.01);
  EXPECT_GT(among.sigma, 3 * alone.sigma);
  EXPECT_EQ(Judge(300, alone).verdict, HourVerdict::kMore);
  EXPECT_EQ(Judge(300, among).verdict, HourVerdict::kUsual);
}

TEST(BaselineTest, BytesAreComparedByFactors) {
  constexpr double kGiB = 1024.0 * 1024 * 1024;
  const Baseline baseline =
      Make(Spread::kBytes, {1.0 * kGiB, 1.1 * kGiB, 0.9 * kGiB, 1.2 * kGiB, 1 * kGiB, 0.95 * kGiB},
           {}, 100 * 1024 * 1024);
  EXPECT_NEAR(baseline.expected / kGiB, 1, 0.1);
  EXPECT_EQ(Judge(2 * kGiB, baseline).verdict, HourVerdict::kUsual);
  EXPECT_EQ(Judge(10 * kGiB, baseline).verdict, HourVerdict::kMore);
  EXPECT_EQ(Judge(0, baseline).verdict, HourVerdict::kFewer);
  const Baseline nothing = Make(Spread::kBytes, {0, 100, 2000, 0}, {}, 100 * 1024 * 1024);
  EXPECT_EQ(Judge(50 * 1024 * 1024, nothing).verdict, HourVerdict::kUsual)
      << "too little to tell of";
  EXPECT_EQ(Judge(kGiB, nothing).verdict, HourVerdict::kMore);
}

// Counts that vary more than Poisson's do, as traffic does.
std::vector<double> Noisy(std::mt19937& random, double mean, size_t count) {
  std::gamma_distribution<double> rate(20, mean / 20);
  std::vector<double> values;
  for (size_t i = 0; i < count; ++i) {
    values.push_back(
        static_cast<double>(std::poisson_distribution<int>(std::max(rate(random), 1e-9))(random)));
  }
  return values;
}

TEST(BaselineProperty, OrdinaryHoursAreSeldomSurprisingAndGrossOnesAlways) {
  std::mt19937 random(20261123);
  int hours = 0;
  int false_alarms = 0;
  int missed = 0;
  for (int round = 0; round < 4'000; ++round) {
    const double mean = std::pow(10, std::uniform_real_distribution<double>(0, 4)(random));
    const size_t weeks = 3 + random() % 6;
    std::vector<std::vector<double>> beside;
    for (int i = 0; i < 6; ++i) beside.push_back(Noisy(random, mean, weeks));
    const Baseline baseline =
        Make(Spread::kCount, Noisy(random, mean, weeks), beside, /*least_excess=*/10);
    ++hours;
    false_alarms +=
        Judge(Noisy(random, mean, 1)[0], baseline).verdict != HourVerdict::kUsual ? 1 : 0;
    missed += Judge(mean * 6 + 80, baseline).verdict != HourVerdict::kMore ? 1 : 0;
  }
  RecordProperty("false_alarms", false_alarms);
  RecordProperty("missed", missed);
  EXPECT_LE(false_alarms, hours / 500);
  EXPECT_LE(missed, hours / 100);
}

TEST(BaselineProperty, MoreIsNeverLessSurprising) {
  std::mt19937 random(7);
  for (int round = 0; round < 500; ++round) {
    const Spread spread = round % 2 == 0 ? Spread::kCount : Spread::kBytes;
    const Baseline baseline = Make(spread, Noisy(random, 200, 3 + random() % 6));
    ASSERT_LE(baseline.low, baseline.expected);
    ASSERT_GE(baseline.high, baseline.expected);
    ASSERT_GT(baseline.sigma, 0);
    double before = -2000;
    for (double observed = 0; observed < 1e7; observed = observed * 2 + 1) {
      const Surprise surprise = Judge(observed, baseline);
      ASSERT_GE(surprise.z, before);
      ASSERT_TRUE(std::isfinite(surprise.z));
      before = surprise.z;
    }
  }
}

// --- Hours of places ---

int64_t HourAt(const char* text) {
  return std::chrono::floor<std::chrono::hours>(*ParseTime(text)).time_since_epoch().count();
}

LocalHours Zone(const std::string& name) { return *LocalHours::Make(name); }

TEST(LocalHoursTest, AWeekBeforeIsTheSameTimeOfTheClock) {
  const LocalHours tokyo = Zone("Asia/Tokyo");
  const int64_t hour = HourAt("2026-11-23T00:00:00Z");
  EXPECT_EQ(tokyo.Text(hour), "Mon 2026-11-23 09:00");
  EXPECT_EQ(tokyo.DaysBefore(hour, 7), hour - 168);
  // Clocks went back on 25 October 2026: nine o'clock was an hour earlier, in UTC, before.
  const LocalHours berlin = Zone("Europe/Berlin");
  const int64_t monday = HourAt("2026-10-26T08:00:00Z");
  EXPECT_EQ(berlin.Text(monday), "Mon 2026-10-26 09:00");
  ASSERT_TRUE(berlin.DaysBefore(monday, 7));
  EXPECT_EQ(*berlin.DaysBefore(monday, 7), monday - 169);
  EXPECT_EQ(berlin.Text(*berlin.DaysBefore(monday, 7)), "Mon 2026-10-19 09:00");
}

TEST(LocalHoursTest, AnHourThatTheClockSkippedHasNoValueAndOneThatCameTwiceTheFirst) {
  const LocalHours berlin = Zone("Europe/Berlin");
  // 02:00 of 29 March 2026 was not.
  const int64_t april = HourAt("2026-04-05T00:00:00Z");
  EXPECT_EQ(berlin.Text(april), "Sun 2026-04-05 02:00");
  EXPECT_EQ(berlin.DaysBefore(april, 7), std::nullopt);
  EXPECT_EQ(berlin.Text(*berlin.DaysBefore(april, 14)), "Sun 2026-03-22 02:00");
  const int64_t november = HourAt("2026-11-01T01:00:00Z");
  EXPECT_EQ(berlin.Text(november), "Sun 2026-11-01 02:00");
  EXPECT_EQ(berlin.DaysBefore(november, 7), HourAt("2026-10-25T00:00:00Z"));
  const LocalHours kolkata = Zone("Asia/Kolkata");
  EXPECT_EQ(kolkata.Text(HourAt("2026-11-23T00:00:00Z")), "Mon 2026-11-23 05:30");
  EXPECT_EQ(kolkata.DaysBefore(november, 21), november - 3 * 168);
  EXPECT_FALSE(LocalHours::Make("Mars/Olympus").ok());
  EXPECT_FALSE(LocalHours::Make("../../etc/passwd").ok());
}

// --- Hours of devices ---

const DeviceKey kDevice{"hq", "fw-1"};

class DeviceHoursTest : public ::testing::Test {
 protected:
  DeviceHoursTest() { hours_.SetKnownSince(0); }

  void Count(int64_t hour, uint64_t denies) {
    archive::v1::HourlyMeasures measures;
    measures.set_site(kDevice.site);
    measures.set_device(kDevice.device);
    measures.mutable_start_time()->set_seconds(hour * 3600);
    measures.set_event_count(denies + 100);
    measures.set_deny_count(denies);
    hours_.Add(measures);
  }
  coverage::v1::Coverage Covered(int64_t hour) {
    coverage::v1::Coverage coverage;
    coverage.set_site(kDevice.site);
    coverage.set_device(kDevice.device);
    coverage.mutable_start_time()->set_seconds(hour * 3600);
    coverage.set_line_count(1000);
    return coverage;
  }
  // Weeks of working days with the same rhythm in the zone, each hour covered.
  void Fill(const LocalHours& zone, int64_t last, int weeks) {
    std::mt19937 random(3);
    for (int64_t hour = last - weeks * 168; hour <= last; ++hour) {
      const std::string text = zone.Text(hour);
      const bool works =
          text.substr(15, 2) >= "09" && text.substr(15, 2) < "18" && text.substr(0, 1) != "S";
      Count(hour, std::poisson_distribution<uint64_t>(works ? 1000 : 40)(random));
      hours_.Add(Covered(hour));
    }
  }
  JudgedHour Judged(int64_t hour, const std::string& zone = "Asia/Tokyo") {
    return JudgeHour(hours_, kDevice, v1::DENIES, hour, Zone(zone), EffectivePolicy(policy_));
  }

  ObservedHours hours_;
  v1::ObservationPolicy policy_;
};

TEST_F(DeviceHoursTest, ABusyNightIsASurpriseAndABusyMorningIsNot) {
  const int64_t morning = HourAt("2026-11-23T01:00:00Z");  // ten o'clock of a Monday in Tokyo
  const int64_t night = morning + 14;
  Fill(Zone("Asia/Tokyo"), night, 9);
  EXPECT_EQ(Judged(morning).state, v1::ObservationPoint::USUAL);
  EXPECT_EQ(Judged(night).state, v1::ObservationPoint::USUAL);
  Count(night, 1000);
  const JudgedHour judged = Judged(night);
  EXPECT_EQ(judged.state, v1::ObservationPoint::FAR_MORE);
  EXPECT_EQ(judged.baseline->weeks, 8u);
  EXPECT_GT(judged.surprise.z, 10);
  EXPECT_NEAR(judged.surprise.ratio, 25, 5);
  Count(morning, 40);
  EXPECT_EQ(Judged(morning).state, v1::ObservationPoint::FAR_FEWER);
}

TEST_F(DeviceHoursTest, HoursOfTheClockAreComparedOverAChangeOfIt) {
  // The first Mondays after both changes of 2026 in Berlin: the hour at which work begins.
  for (const char* text : {"2026-10-26T08:00:00Z", "2026-03-30T07:00:00Z"}) {
    const int64_t nine = HourAt(text);
    hours_ = ObservedHours();
    Fill(Zone("Europe/Berlin"), nine + 12, 9);
    for (int64_t hour = nine - 3; hour < nine + 12; ++hour) {
      EXPECT_EQ(Judged(hour, "Europe/Berlin").state, v1::ObservationPoint::USUAL)
          << Zone("Europe/Berlin").Text(hour);
    }
    // By UTC the same hours would differ.
    EXPECT_NE(Judged(text[5] == '0' ? nine : nine - 1, "UTC").state, v1::ObservationPoint::USUAL);
  }
}

TEST_F(DeviceHoursTest, WeeksWithoutLogsTeachNothingAndHoursWithoutLogsAreNeverFewer) {
  const int64_t hour = HourAt("2026-11-23T01:00:00Z");
  Fill(Zone("Asia/Tokyo"), hour, 9);
  // Four of the eight weeks: an outage, silence, loss, a wrong clock.
  for (int week = 1; week <= 4; ++week) {
    auto coverage = Covered(hour - 168 * week);
    Count(hour - 168 * week, 0);
    if (week == 1) coverage.set_unwatched_minutes(30);
    if (week == 2) coverage.set_lost_count(500);
    if (week == 3) coverage.set_kernel_drop_count(500);
    if (week == 4) coverage.set_clock_error_count(400);
    hours_.Add(coverage);
  }
  const JudgedHour before = Judged(hour);
  EXPECT_EQ(before.state, v1::ObservationPoint::USUAL);
  EXPECT_EQ(before.baseline->weeks, 4u);
  EXPECT_NEAR(before.baseline->expected, 1000, 50);

  Count(hour, 3);
  EXPECT_EQ(Judged(hour).state, v1::ObservationPoint::FAR_FEWER);
  auto outage = Covered(hour);
  outage.set_unwatched_minutes(20);
  hours_.Add(outage);
  const JudgedHour unknown = Judged(hour);
  EXPECT_EQ(unknown.state, v1::ObservationPoint::UNKNOWN);
  EXPECT_THAT(unknown.gap, ::testing::HasSubstr("20 minutes"));
  Count(hour, 50'000);
  EXPECT_EQ(Judged(hour).state, v1::ObservationPoint::FAR_MORE) << "whatever is missing besides";
}

TEST_F(DeviceHoursTest, AnHourThatWasMoreSilentThanUsualIsNotFewer) {
  const int64_t hour = HourAt("2026-11-23T01:00:00Z");
  Fill(Zone("Asia/Tokyo"), hour - 1, 9);
  Count(hour, 100);
  auto silent = Covered(hour);
  silent.set_silent_minutes(52);
  hours_.Add(silent);
  EXPECT_EQ(Judged(hour).state, v1::ObservationPoint::UNKNOWN);
}

TEST_F(DeviceHoursTest, WhatWasNotCountedThenIsNotZero) {
  const int64_t hour = HourAt("2026-11-23T01:00:00Z");
  for (int week = 1; week <= 8; ++week) hours_.Add(Covered(hour - 168 * week));
  hours_.SetKnownSince(hour - 2 * 168);
  Count(hour, 1000);
  hours_.Add(Covered(hour));
  EXPECT_EQ(Judged(hour).state, v1::ObservationPoint::LEARNING);
}

TEST_F(DeviceHoursTest, WhatIsThereOfAnHourBeforeCountingBeganIsAPartOfIt) {
  const int64_t hour = HourAt("2026-11-23T01:00:00Z");
  hours_.SetKnownSince(hour + 1);
  hours_.Add(Covered(hour));
  EXPECT_EQ(Judged(hour).gap, "nothing was counted then");
  // Of the hour in which counting began, or delivered late: by the events' own time it is here.
  Count(hour, 12);
  const JudgedHour part = Judged(hour);
  EXPECT_EQ(part.observed, 12);
  EXPECT_EQ(part.state, v1::ObservationPoint::UNKNOWN);
  EXPECT_EQ(part.gap, "counting began later: this is a part at most");
}

TEST_F(DeviceHoursTest, WhatCameLateIsNotSaidNotToHaveCome) {
  const int64_t hour = HourAt("2026-11-23T01:00:00Z");
  const auto flaws = [&] { return hours_.FlawsAt(kDevice, hour); };
  auto silent = Covered(hour);
  silent.set_line_count(0);
  hours_.Add(silent);
  ASSERT_EQ(flaws().size(), 1u);
  EXPECT_EQ(flaws()[0].text, "no line came");
  Count(hour, 12);
  ASSERT_EQ(flaws().size(), 1u);
  EXPECT_EQ(flaws()[0].text, "no line came in time");
}

TEST_F(DeviceHoursTest, SpecialDaysAreNotLearntFromAndNeverFewer) {
  const int64_t hour = HourAt("2026-11-23T01:00:00Z");  // Labour Thanksgiving Day
  Fill(Zone("Asia/Tokyo"), hour, 9);
  Count(hour, 20);
  EXPECT_EQ(Judged(hour).state, v1::ObservationPoint::FAR_FEWER);
  policy_.add_special_days("2026-11-23");
  EXPECT_EQ(Judged(hour).state, v1::ObservationPoint::USUAL);
  Count(hour, 50'000);
  EXPECT_EQ(Judged(hour).state, v1::ObservationPoint::FAR_MORE);
  policy_.add_special_days("2026-11-16");
  EXPECT_EQ(Judged(hour).baseline->weeks, 7u);
}

TEST_F(DeviceHoursTest, AHolidayIsHeldAgainstTheDaysThatItCountsAs) {
  const LocalHours tokyo = Zone("Asia/Tokyo");
  const int64_t hour = HourAt("2026-11-23T01:00:00Z");  // Labour Thanksgiving Day, a Monday
  Fill(tokyo, hour, 9);
  // Nobody works, as on Sundays; what would be a Monday's work is a surprise.
  policy_.add_special_days("2026-11-23=Sun");
  Count(hour, 40);
  const JudgedHour quiet = Judged(hour);
  EXPECT_EQ(quiet.state, v1::ObservationPoint::USUAL);
  EXPECT_NEAR(quiet.baseline->expected, 40, 10);
  EXPECT_EQ(quiet.baseline->weeks, 8u);
  Count(hour, 1'000);
  EXPECT_EQ(Judged(hour).state, v1::ObservationPoint::FAR_MORE);
  // Fewer than on such a day is one, too.
  const int64_t saturday = hour - 48;
  policy_.add_special_days("2026-11-21=fri");
  Count(saturday, 20);
  EXPECT_EQ(Judged(saturday).state, v1::ObservationPoint::FAR_FEWER);
  // Days like it that were others themselves teach nothing.
  policy_.add_special_days("2026-11-22");
  policy_.add_special_days("2026-11-15=mon");
  policy_.add_special_days("2026-11-08=sun");
  EXPECT_EQ(Judged(hour).baseline->weeks, 6u);
  // Nor does the holiday to the Mondays after.
  const int64_t next = hour + 168;
  Fill(tokyo, next, 9);
  Count(hour, 40);
  EXPECT_EQ(Judged(next).baseline->weeks, 7u);
}

TEST(HoursForTest, HasTheDaysThatAHolidayCountsAsAndNoHourTwice) {
  const int64_t hour = HourAt("2026-11-23T01:00:00Z");
  v1::ObservationPolicy policy = EffectivePolicy({});
  const auto has = [&](const v1::ObservationPolicy& of, int64_t wanted) {
    int times = 0;
    for (const HourRange& range : HoursFor(hour, of)) {
      times += range.first <= wanted && wanted <= range.last ? 1 : 0;
    }
    return times;
  };
  EXPECT_EQ(has(policy, hour - 24), 0);
  policy.add_special_days("2026-11-23=sun");
  policy.add_special_days("2026-11-24=sun");  // which it is in some zone, nearly
  policy.add_special_days("2026-12-30=wed");
  for (int64_t back = -3; back < 60 * 24; ++back) EXPECT_LE(has(policy, hour - back), 1) << back;
  for (int week = 0; week < 8; ++week) {
    EXPECT_EQ(has(policy, hour - 24 - 168 * week), 1) << week;
    EXPECT_EQ(has(policy, hour - 168 * (week + 1)), 1) << week;
  }
  const auto ranges = HoursFor(hour, policy);
  for (const HourRange& range : ranges) EXPECT_GE(range.first, ranges.back().first);
}

TEST_F(DeviceHoursTest, SensitivityMovesTheThreshold) {
  const int64_t hour = HourAt("2026-11-23T01:00:00Z");
  Fill(Zone("Asia/Tokyo"), hour, 9);
  policy_.set_sensitivity(v1::ObservationPolicy::HIGH);
  const double high = Judged(hour).baseline->high;
  policy_.set_sensitivity(v1::ObservationPolicy::LOW);
  const double low = Judged(hour).baseline->high;
  policy_.set_sensitivity(v1::ObservationPolicy::NORMAL);
  const double normal = Judged(hour).baseline->high;
  EXPECT_LT(high, normal);
  EXPECT_LT(normal, low);
}

}  // namespace
}  // namespace yagura::detection
