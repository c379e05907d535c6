#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "services/detection/domain/findings.h"
#include "services/detection/domain/window_group.h"
#include "services/detection/domain/windows.h"
#include "tests/unit/services/detection/correlation_fixture.h"
#include "tests/unit/services/detection/correlation_oracle.h"

namespace yagura::detection {
namespace {

using testing::Arrival;
using testing::Bench;
using testing::CorrelationCase;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::kSpan;
using testing::OracleCondition;
using testing::OracleEvent;
using testing::OracleFinding;
using testing::OracleWindow;
using ::testing::SizeIs;
using testing::TextOf;
using ::testing::UnorderedElementsAre;

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
std::vector<std::vector<Arrival>> RandomBatches(std::mt19937& random, const CorrelationCase& one,
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

Findings FindIn(std::mt19937& random, const CorrelationCase& one, uint32_t lateness,
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

class LateValues : public ::testing::TestWithParam<CorrelationCase> {};

TEST_P(LateValues, AreFoundAsIfTheyHadComeInOrder) {
  const CorrelationCase& one = GetParam();
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

INSTANTIATE_TEST_SUITE_P(Types, LateValues, ::testing::ValuesIn(testing::CorrelationCases()),
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
  // Behind the last finding that has gone, at 18,000: one each time.
  EXPECT_EQ(group.pending_size(), 10);
}

// The same times would give the finding that has gone its id again.
TEST(LateFindings, WhatLiesBeforeAFindingThatHasGoneIsTooLate) {
  Windows::Limits limits = kPatient;
  limits.lateness = std::chrono::hours(10);
  Bench bench(TextOf(kThreeValues), limits);
  for (int64_t i = 0; i < 10; ++i) {
    bench.Apply(bench.HitsOf(0, {At(200 * i, "x"), At(200 * i + 1, "y"), At(200 * i + 2, "z")}));
  }
  bench.Save();
  bench.Kill();
  EXPECT_THAT(bench.windows().Apply(bench.HitsOf(0, {At(0, "x"), At(1, "y"), At(2, "z")})),
              IsEmpty());
  EXPECT_EQ(bench.windows().late(), 3U);
  EXPECT_THAT(bench.windows().Apply(bench.HitsOf(0, {At(200, "x"), At(201, "y"), At(202, "z")})),
              SizeIs(1));
  EXPECT_THAT(bench.windows().Apply(bench.HitsOf(0, {At(90, "x"), At(91, "y"), At(92, "z")})),
              SizeIs(1));
}

TEST(LateFindings, AnEarlierFindingTellsItsLastWordThoughTheLatestGrows) {
  Bench bench(TextOf(kThreeValues), kPatient);
  bench.Apply(bench.HitsOf(0, {At(0, "x"), At(1, "y"), At(2, "z")}));
  bench.Apply(bench.HitsOf(0, {At(200, "x"), At(201, "y"), At(202, "z")}));
  bench.Apply(
      bench.HitsOf(0, {At(3, "x")}));  // not told: it has neither doubled nor grown for long
  std::vector<Windows::Outcome> last_words;
  for (const int64_t time : {260, 320, 380}) {
    for (auto& outcome : bench.windows().Apply(bench.HitsOf(0, {At(time, "x")}))) {
      if (outcome.closing) last_words.push_back(std::move(outcome));
    }
  }
  // A time span and the lateness after it nothing can belong to it any more.
  ASSERT_THAT(last_words, SizeIs(1));
  EXPECT_EQ(last_words[0].finding.event_count(), 4U);
  EXPECT_EQ(last_words[0].finding.last_event_time().seconds(), testing::kStart + 3);
}

// What a relay kept for a quarter of an hour.
TEST(LateFindings, ABurstOfOldEventsCountsUnlessItsGroupHasYoungerOnes) {
  constexpr int64_t kAge = 16 * 60;
  constexpr int64_t kNow = 10'000;
  struct Before {
    std::string who;
    int events;
    bool counts;
  };
  for (const auto& [who, events, counts] : {Before{"", 0, true}, Before{"bob", 2, true},
                                            Before{"eve", 2, false}, Before{"eve", 1000, false}}) {
    SCOPED_TRACE(fmt::format("{} events of {} before", events, who));
    Bench bench(TextOf("event_count\n  condition: {gte: 1000}"), {std::chrono::minutes(2), 10'000});
    bench.Apply(bench.Time(0, kNow));
    for (int i = 0; i < events; ++i) {
      bench.Apply(bench.HitsOf(0, {{{kNow - 1, who, "a", "1"}, kNow, 0}}));
    }
    const size_t findings_before = bench.Findings().size();
    for (int part = 0; part < 15; ++part) {
      std::vector<Arrival> arrivals(100,
                                    Arrival{{kNow + part - kAge, "eve", "a", "1"}, kNow + part, 0});
      bench.Apply(bench.HitsOf(0, arrivals));
    }
    EXPECT_EQ(bench.Findings().size() - findings_before, counts ? 1U : 0U);
    EXPECT_EQ(bench.windows().late(), counts ? 0U : 1500U);
  }
}

// A correlation of which an outer one counts the matches by `who`.
std::string ChainOf(std::string_view outer) {
  return fmt::format(
      "title: Failed\nname: a\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00a\n"
      "logsource: {{product: acme}}\ndetection: {{s: {{what: a}}, condition: s}}\n---\n"
      "title: Success\nname: b\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00b\n"
      "logsource: {{product: acme}}\ndetection: {{s: {{what: b}}, condition: s}}\n---\n"
      "title: Many\nname: many\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c101\ncorrelation:\n"
      "  type: event_count\n  rules: [a]\n  group-by: [v]\n  timespan: 60s\n"
      "  condition: {{gte: 3}}\n---\n"
      "title: Outer\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c102\ncorrelation:\n"
      "  group-by: [who]\n{}\n",
      outer);
}

Arrival Of(int64_t time, std::string what, std::string who, std::string host) {
  return {{time, std::move(who), std::move(what), std::move(host)}, time, 0};
}

// What an outer match stands on lies before it.
TEST(LateFindings, WhatJoinsAFindingBringsAllItsEvidence) {
  Bench bench(ChainOf("  type: event_count\n  rules: [many, b]\n  timespan: 2m\n"
                      "  condition: {gte: 2}"),
              kPatient);
  const auto apply = [&bench](const std::string& host, std::vector<int64_t> times) {
    std::vector<Arrival> arrivals;
    for (const int64_t time : times) arrivals.push_back(Of(time, "a", "eve", host));
    bench.Apply(bench.HitsOf(0, arrivals));
  };
  apply("first", {0, 1, 2, 3});
  ASSERT_EQ(bench.latest().title(), "Outer");
  apply("second", {180, 190, 200});  // more than two minutes after
  EXPECT_THAT(bench.Findings(), SizeIs(1));
  apply("between", {100, 101, 102});
  EXPECT_THAT(Told(bench.Findings()), ElementsAre("eve [2, 200] 4"));
  std::vector<int64_t> evidence;
  for (const auto& one : bench.latest().evidence()) {
    evidence.push_back(one.event_time().seconds() - testing::kStart);
  }
  EXPECT_THAT(evidence, UnorderedElementsAre(100, 101, 102, 180, 190, 200));
}

// Events of eve come before and after those of bob, which make the match.
TEST(LateFindings, AMatchCountsForThoseWhoseEventsItHas) {
  Bench bench(ChainOf("  type: temporal_ordered\n  rules: [many, b]\n  timespan: 5m"), kPatient);
  bench.Apply(bench.HitsOf(0, {Of(0, "a", "eve", "h"), Of(200, "a", "eve", "h")}));
  bench.Apply(bench.HitsOf(
      0, {Of(100, "a", "bob", "h"), Of(101, "a", "bob", "h"), Of(102, "a", "bob", "h")}));
  bench.Apply(bench.HitsOf(0, {Of(110, "b", "eve", "h")}));
  EXPECT_THAT(bench.Findings(), IsEmpty());
  bench.Apply(bench.HitsOf(0, {Of(111, "b", "bob", "h")}));
  ASSERT_THAT(bench.Findings(), SizeIs(1));
  EXPECT_EQ(bench.Findings().begin()->group, "bob");
}

// As a release wrote them that knew of one finding a group, in hex: three values at 0 to 2 s that
// made one, and two at 0 and 1 s that made none yet.
constexpr std::string_view kOldGrowing =
    "0a0461636d65122434623461613165382d366133662d346336622d396436652d306138366237663363"
    "3130302a1a303132333435363738396162636465666768696a6b6c6d6e6f7030033900002a36fe9c97"
    "174100945fadfe9c97174900a40b7f529d971758036100945fadfe9c971782010276318a01027431";
constexpr std::string_view kOldPending =
    "0a0461636d65122434623461613165382d366133662d346336622d396436652d306138366237663363"
    "3130301a1000002a36fe9c971700cac471fe9c97174900da7043529d97176a100b0000000000000016"
    "0000000000000082010276318a01027431";

class GroupOfAnEarlierRelease : public ::testing::Test {
 protected:
  void Load(std::string_view hex) {
    std::string bytes;
    for (size_t i = 0; i < hex.size(); i += 2) {
      bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
    }
    internal::v1::Group group;
    ASSERT_TRUE(group.ParseFromString(bytes));
    const auto batch = bench_.HitsOf(0, {At(0, "x")});
    const auto& hit = batch.hits(0);
    bench_.windows().LoadGroup(GroupKey("acme", batch.rules(static_cast<int>(hit.rule())), hit),
                               std::move(group));
  }
  // What is told, as "finding begins? events".
  std::vector<std::string> Apply(const std::vector<Arrival>& arrivals) {
    std::vector<std::string> told;
    for (const auto& outcome : bench_.windows().Apply(bench_.HitsOf(0, arrivals))) {
      const std::string& name = outcome.finding.name();
      told.push_back(fmt::format("{}{} {}", name == kOldName ? "old" : "new",
                                 outcome.began ? " begins" : "", outcome.finding.event_count()));
    }
    bench_.Save();
    bench_.Kill();
    return told;
  }
  static constexpr std::string_view kOldName = "tenants/acme/findings/0123456789abcdefghijklmnop";
  Bench bench_{TextOf(kThreeValues), kPatient};
};

TEST_F(GroupOfAnEarlierRelease, GoesOnWithItsFinding) {
  Load(kOldGrowing);
  EXPECT_THAT(Apply({At(3, "x"), At(4, "x"), At(5, "x")}), ElementsAre("old 6"));
  EXPECT_THAT(Apply({At(-50, "x")}), ElementsAre("old 7"));
  EXPECT_THAT(Apply({At(200, "x")}), ElementsAre("old 7")) << "its last word";
  EXPECT_THAT(Apply({At(201, "y"), At(202, "z")}), ElementsAre("new begins 3"));
  EXPECT_THAT(Apply({At(6, "x")}), ElementsAre("old 8")) << "late, for the one before";
  EXPECT_EQ(bench_.windows().late(), 0U);
}

TEST_F(GroupOfAnEarlierRelease, GoesOnWithWhatIsPending) {
  Load(kOldPending);
  EXPECT_THAT(Apply({At(2, "z")}), ElementsAre("new begins 3"));
  EXPECT_THAT(Apply({At(3, "z")}), ElementsAre("new 4"));
}

}  // namespace
}  // namespace yagura::detection
