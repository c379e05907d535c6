#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "services/detection/domain/window_group.h"
#include "services/detection/domain/windows.h"
#include "tests/unit/services/detection/correlation_fixture.h"
#include "tests/unit/services/detection/correlation_oracle.h"

namespace yagura::detection {
namespace {

using testing::Arrival;
using testing::Bench;
using ::testing::ElementsAre;
using testing::kSpan;
using testing::OracleCondition;
using testing::OracleEvent;
using testing::OracleFinding;
using testing::OracleWindow;
using testing::TextOf;

struct Case {
  std::string name;
  std::string correlation;
  bool at_end;
  OracleCondition holds;
  int values = 4;
  int lowest = 0;  // below it, further events may undo what earlier ones brought about
};
void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

using Findings = std::multiset<OracleFinding>;

std::vector<std::string> Told(const Findings& findings) {
  std::vector<std::string> all;
  for (const auto& one : findings) {
    all.push_back(fmt::format("{} [{}, {}] {}", one.group, one.first, one.last, one.count));
  }
  return all;
}

// What is to be found of events as they come, computed from all of them anew at each.
class Model {
 public:
  explicit Model(OracleCondition holds) : holds_(std::move(holds)) {}

  void Apply(std::vector<Arrival> batch) {
    std::ranges::stable_sort(batch, {}, [](const Arrival& one) {
      return std::pair(one.event.time, std::stod(one.event.value));
    });
    for (const auto& one : batch) Add(one.event);
  }
  Findings Take() const {
    Findings all;
    for (const auto& [who, group] : groups_) {
      all.insert(group.findings.begin(), group.findings.end());
    }
    return all;
  }

 private:
  struct Group {
    OracleWindow pending;
    std::vector<OracleFinding> findings;
  };
  static OracleFinding* Nearest(const OracleEvent& event, std::vector<OracleFinding>& findings) {
    OracleFinding* nearest = nullptr;
    int64_t least = kSpan;
    std::ranges::sort(findings);
    for (auto& one : findings) {
      const int64_t distance =
          std::max({one.first - event.time, event.time - one.last, int64_t{0}});
      if (distance > least) continue;
      nearest = &one;
      least = distance;
    }
    return nearest;
  }
  // Pending events from there on follow it while they come without a gap.
  static void Absorb(size_t at, OracleFinding& finding, OracleWindow& pending) {
    size_t end = at;
    for (; end < pending.size() && pending[end].time <= finding.last + kSpan; ++end) {
      finding.last = std::max(finding.last, pending[end].time);
      ++finding.count;
    }
    pending.erase(pending.begin() + static_cast<long>(at),
                  pending.begin() + static_cast<long>(end));
  }
  void Add(const OracleEvent& event) {
    Group& group = groups_[event.group];
    auto& pending = group.pending;
    if (OracleFinding* finding = Nearest(event, group.findings)) {
      finding->first = std::min(finding->first, event.time);
      finding->last = std::max(finding->last, event.time);
      ++finding->count;
      const auto next = std::ranges::lower_bound(pending, finding->first, {}, &OracleEvent::time);
      Absorb(static_cast<size_t>(next - pending.begin()), *finding, pending);
      return;
    }
    pending.push_back(event);
    std::ranges::stable_sort(pending, {},
                             [](const OracleEvent& one) { return std::pair(one.time, one.what); });
    for (size_t first = 0; first < pending.size(); ++first) {
      for (size_t end = first + 1;
           end <= pending.size() && pending[end - 1].time <= pending[first].time + kSpan; ++end) {
        const OracleWindow window(pending.begin() + static_cast<long>(first),
                                  pending.begin() + static_cast<long>(end));
        if (!holds_(window)) continue;
        OracleFinding begun{event.group, window.front().time, window.front().time, 0};
        const auto from = std::ranges::lower_bound(pending, begun.first, {}, &OracleEvent::time);
        Absorb(static_cast<size_t>(from - pending.begin()), begun, pending);
        group.findings.push_back(begun);
        return;
      }
    }
  }
  const OracleCondition holds_;
  std::map<std::string, Group> groups_;
};

// Few values, which come again and again, out of order within `lateness` seconds.
std::vector<std::vector<Arrival>> RandomBatches(std::mt19937& random, const Case& one,
                                                uint32_t lateness) {
  std::vector<Arrival> arrivals;
  const int count = 10 + static_cast<int>(random() % 50);
  const int values = 1 + static_cast<int>(random() % static_cast<uint32_t>(one.values));
  const uint32_t range = 60 + random() % 900;
  for (int i = 0; i < count; ++i) {
    Arrival arrival;
    arrival.event.time = static_cast<int64_t>(random() % range);
    arrival.event.group = fmt::format("user{}", random() % 3);
    // Where a sum may fall, the order of events of the same time matters: as they came.
    arrival.event.what =
        one.lowest < 0 ? "a" : std::string(1, static_cast<char>('a' + random() % 3));
    arrival.event.value =
        fmt::format("{}", one.lowest + static_cast<int>(random() % static_cast<uint32_t>(values)));
    arrival.received = arrival.event.time + static_cast<int64_t>(random() % lateness);
    arrivals.push_back(std::move(arrival));
  }
  std::ranges::stable_sort(arrivals, {}, &Arrival::received);
  std::vector<std::vector<Arrival>> batches(1);
  for (auto& arrival : arrivals) {
    batches.back().push_back(std::move(arrival));
    if (random() % 4 == 0) batches.emplace_back();
  }
  std::erase_if(batches, [](const auto& batch) { return batch.empty(); });
  return batches;
}

Findings FindIn(std::mt19937& random, const Case& one, uint32_t lateness,
                const std::vector<std::vector<Arrival>>& batches) {
  Bench bench(TextOf(one.correlation),
              {std::chrono::seconds(lateness), 10'000, std::chrono::hours(24)});
  bench.Apply(bench.Time(0, 0));
  bench.Save();
  for (const auto& arrivals : batches) {
    const auto batch = bench.HitsOf(0, arrivals);
    for (bool saved = false; !saved;) {
      bench.Apply(batch);
      saved = random() % 4 != 0;
      if (saved) bench.Save();
      if (!saved || random() % 2 == 0) bench.Kill();
    }
  }
  bench.Apply(bench.Time(0, 100'000));
  bench.Save();
  EXPECT_EQ(bench.saved().groups(), 0U);
  EXPECT_EQ(bench.saved().blocks(), 0U);
  return bench.Findings();
}

// Each of these has one of those that it has any time in common with.
bool AreAllAmong(const Findings& these, const Findings& those) {
  return std::ranges::all_of(these, [&](const OracleFinding& one) {
    return std::ranges::any_of(those, [&](const OracleFinding& two) {
      return one.group == two.group && one.first <= two.last && two.first <= one.last;
    });
  });
}

class LateValues : public ::testing::TestWithParam<Case> {};

TEST_P(LateValues, AreFoundAsIfTheyHadComeInOrder) {
  const Case& one = GetParam();
  size_t found = 0;
  int equal = 0;
  for (uint32_t seed = 1; seed <= 240; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    const uint32_t lateness = seed % 2 == 0 ? kSpan / 2 : 3 * kSpan;
    const auto batches = RandomBatches(random, one, lateness);
    std::vector<OracleEvent> events;
    Model model(one.holds);
    for (const auto& batch : batches) {
      model.Apply(batch);
      for (const auto& arrival : batch) events.push_back(arrival.event);
    }
    const Findings all = FindIn(random, one, lateness, batches);
    found += all.size();
    if (one.at_end) {
      ASSERT_EQ(Told(all), Told(testing::FindAtEnd(events, kSpan, one.holds)));
      continue;
    }
    ASSERT_EQ(Told(all), Told(model.Take()));
    if (one.lowest < 0) continue;
    // What joins two findings may come when both have begun, and how many events are before the
    // first that counts may show late; but all that there is to be found is.
    const Findings in_order = testing::FindWhileGrowing(events, kSpan, one.holds);
    ASSERT_TRUE(AreAllAmong(in_order, all));
    ASSERT_TRUE(AreAllAmong(all, in_order));
    equal += all == in_order ? 1 : 0;
  }
  EXPECT_GT(found, 100U);
  if (!one.at_end && one.lowest >= 0) {
    EXPECT_GT(equal, 200);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Types, LateValues,
    ::testing::Values(Case{"EventCountGte", "event_count\n  condition: {gte: 5}", false,
                           [](const OracleWindow& w) { return w.size() >= 5; }},
                      Case{"ValueCountGte3", "value_count\n  condition: {field: v, gte: 3}", false,
                           [](const OracleWindow& w) { return testing::ValuesOf(w).size() >= 3; }},
                      Case{"ValueCountGte4", "value_count\n  condition: {field: v, gte: 4}", false,
                           [](const OracleWindow& w) { return testing::ValuesOf(w).size() >= 4; },
                           6},
                      Case{"ValueCountLte", "value_count\n  condition: {field: v, lte: 2}", true,
                           [](const OracleWindow& w) { return testing::ValuesOf(w).size() <= 2; }},
                      Case{"ValueSumGt", "value_sum\n  condition: {field: v, gt: 7}", false,
                           [](const OracleWindow& w) { return testing::SumOf(w) > 7; }},
                      Case{"ValueSumSigned", "value_sum\n  condition: {field: v, gt: 3}", false,
                           [](const OracleWindow& w) { return testing::SumOf(w) > 3; }, 8, -3},
                      Case{"ValueSumLt", "value_sum\n  condition: {field: v, lt: 8}", true,
                           [](const OracleWindow& w) { return testing::SumOf(w) < 8; }},
                      Case{"ValueAverage", "value_avg\n  condition: {field: v, gt: 1.5}", true,
                           [](const OracleWindow& w) {
                             return testing::SumOf(w) / static_cast<double>(w.size()) > 1.5;
                           }},
                      Case{"ValueShare", "value_percentile\n  condition: {field: v, lte: 20}", true,
                           [](const OracleWindow& w) { return testing::HasRareValue(w, 20); }},
                      Case{"ValueMedian",
                           "value_percentile\n  condition: {field: v, percentile: 50, gte: 2}",
                           true, [](const OracleWindow& w) { return testing::MedianOf(w) >= 2; }},
                      Case{"Temporal", "temporal", false,
                           [](const OracleWindow& w) { return testing::RulesOf(w).size() == 3; }},
                      Case{"TemporalOrdered", "temporal_ordered", false,
                           [](const OracleWindow& w) { return testing::InOrder(w, "abc"); }}),
    [](const auto& one) { return one.param.name; });

Arrival At(int64_t time, std::string value) {
  return {{time, "eve", "a", std::move(value)}, time, 0};
}

constexpr Windows::Limits kPatient{std::chrono::minutes(5), 10'000, std::chrono::hours(24)};
const std::string kThreeValues = "value_count\n  condition: {field: v, gte: 3}";

TEST(LateFindings, WhatComesAfterAGapIsKeptWhereLateEventsBeginAFinding) {
  Bench bench(TextOf(kThreeValues), kPatient);
  bench.Apply(bench.HitsOf(0, {At(0, "x"), At(2, "y"), At(200, "x"), At(201, "y")}));
  bench.Apply(bench.HitsOf(0, {At(1, "z")}));
  EXPECT_THAT(Told(bench.Findings()), ElementsAre("eve [0, 2] 3"));
  bench.Apply(bench.HitsOf(0, {At(202, "z")}));
  EXPECT_THAT(Told(bench.Findings()), ElementsAre("eve [0, 2] 3", "eve [200, 202] 3"));
}

TEST(LateFindings, ALateEventGrowsTheFindingBeforeTheLatest) {
  Bench bench(TextOf(kThreeValues), kPatient);
  bench.Apply(bench.HitsOf(0, {At(0, "x"), At(1, "y"), At(2, "z")}));
  bench.Apply(bench.HitsOf(0, {At(200, "x"), At(201, "y"), At(202, "z")}));
  bench.Save();
  bench.Kill();
  bench.Apply(bench.HitsOf(0, {At(3, "x"), At(4, "x"), At(5, "x")}));
  EXPECT_THAT(Told(bench.Findings()), ElementsAre("eve [0, 5] 6", "eve [200, 202] 3"));
}

TEST(LateFindings, AFindingMayBeginBeforeTheLatest) {
  Bench bench(TextOf(kThreeValues), kPatient);
  bench.Apply(bench.HitsOf(0, {At(200, "x"), At(201, "y"), At(202, "z")}));
  bench.Apply(bench.HitsOf(0, {At(0, "x"), At(1, "y"), At(2, "z")}));
  bench.Apply(bench.HitsOf(0, {At(203, "x")}));
  EXPECT_THAT(Told(bench.Findings()), ElementsAre("eve [0, 2] 3", "eve [200, 203] 4"));
}

TEST(LateFindings, WhatIsKeptOfThemIsBounded) {
  Windows::Limits limits = kPatient;
  limits.lateness = std::chrono::hours(10);
  Bench bench(TextOf(kThreeValues), limits);
  for (int64_t i = 0; i < 100; ++i) {
    bench.Apply(bench.HitsOf(
        0, {At(200 * i, "x"), At(200 * i + 1, "y"), At(200 * i + 2, "z"), At(200 * i + 100, "x")}));
  }
  EXPECT_EQ(bench.Findings().size(), 100U);
  ASSERT_EQ(bench.windows().dirty_groups().size(), 1U);
  const internal::v1::Group& group = *bench.windows().dirty_groups().begin()->second;
  EXPECT_EQ(group.earlier_size(), kMaxEarlier);
  EXPECT_EQ(group.pending_size(), 100);
}

TEST(LateFindings, AGroupOfAnEarlierReleaseGoesOn) {
  Windows windows(kPatient);
  Bench bench(TextOf(kThreeValues), kPatient);
  bench.Apply(bench.HitsOf(0, {At(0, "x"), At(1, "y"), At(2, "z")}));
  for (const auto& [key, kept] : bench.windows().dirty_groups()) {
    internal::v1::Group group = *kept;
    group.clear_earlier();
    ASSERT_FALSE(group.finding_id().empty());
    windows.LoadGroup(key, std::move(group));
  }
  windows.LoadCheckpoint(0, "1-1");
  const auto outcomes = windows.Apply(bench.HitsOf(0, {At(3, "x"), At(4, "x"), At(5, "x")}));
  ASSERT_EQ(outcomes.size(), 1U);
  EXPECT_FALSE(outcomes[0].began);
  EXPECT_TRUE(outcomes[0].tells);
  EXPECT_EQ(outcomes[0].finding.event_count(), 6U);
}

}  // namespace
}  // namespace yagura::detection
