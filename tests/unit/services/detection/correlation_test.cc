#include <memory>
#include <random>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "services/detection/domain/pending.h"
#include "services/detection/domain/windows.h"
#include "tests/unit/services/detection/correlation_fixture.h"
#include "tests/unit/services/detection/correlation_oracle.h"

namespace yagura::detection {
namespace {

using testing::Arrival;
using testing::Bench;
using testing::CorrelationCase;
using ::testing::ElementsAre;
using testing::FindAtEnd;
using testing::FindWhileGrowing;
using ::testing::IsEmpty;
using testing::kLateness;
using testing::kShards;
using testing::kSpan;
using testing::OracleCondition;
using testing::OracleEvent;
using testing::OracleFinding;
using testing::RunShards;
using ::testing::SizeIs;
using testing::TextOf;

class CorrelationProperty : public ::testing::TestWithParam<CorrelationCase> {
 protected:
  // `lateness`: how late events may come, seconds.
  static std::vector<Arrival> Random(std::mt19937& random, int lateness, bool spread) {
    std::vector<Arrival> arrivals;
    const int count = 20 + static_cast<int>(random() % 60);
    for (int i = 0; i < count; ++i) {
      Arrival arrival;
      arrival.event.time = static_cast<int64_t>(random() % 500);
      const int who = static_cast<int>(random() % 3);
      arrival.event.group = fmt::format("user{}", who);
      arrival.event.what = std::string(1, static_cast<char>('a' + random() % 3));
      arrival.event.value = fmt::format("{}", random() % static_cast<uint32_t>(GetParam().values));
      arrival.received = arrival.event.time;
      if (lateness > 0)
        arrival.received += static_cast<int64_t>(random() % static_cast<uint32_t>(lateness));
      arrival.shard = spread ? static_cast<int>(random() % kShards) : who % kShards;
      arrivals.push_back(std::move(arrival));
    }
    std::ranges::stable_sort(arrivals, {}, &Arrival::received);
    return arrivals;
  }

  static std::multiset<OracleFinding> Expected(const std::vector<Arrival>& arrivals) {
    std::vector<OracleEvent> events;
    for (const auto& arrival : arrivals) events.push_back(arrival.event);
    return GetParam().at_end ? FindAtEnd(events, kSpan, GetParam().holds)
                             : FindWhileGrowing(events, kSpan, GetParam().holds);
  }

  static std::multiset<OracleFinding> Run(std::mt19937& random,
                                          const std::vector<Arrival>& arrivals, bool trouble) {
    return RunShards(random, TextOf(GetParam().correlation), arrivals, trouble);
  }
};

TEST_P(CorrelationProperty, FindsWhatTheOracleFinds) {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    const auto arrivals = Random(random, 0, false);
    ASSERT_EQ(Run(random, arrivals, false), Expected(arrivals));
  }
}

TEST_P(CorrelationProperty, KillsAndRepeatsChangeNothing) {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    // A window that is decided at its end does not depend on which shard was faster either.
    const auto arrivals = Random(random, GetParam().at_end ? 30 : 0, GetParam().at_end);
    ASSERT_EQ(Run(random, arrivals, true), Expected(arrivals));
  }
}

// Those that any order of events of the same time decides alike.
std::vector<CorrelationCase> CasesThatOnlyRise() {
  auto cases = testing::CorrelationCases();
  std::erase_if(cases, [](const CorrelationCase& one) { return one.lowest < 0; });
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Types, CorrelationProperty, ::testing::ValuesIn(CasesThatOnlyRise()),
                         [](const auto& one) { return one.param.name; });

Arrival At(int64_t time, std::string what, std::string who, std::string value = "1") {
  return {{time, std::move(who), std::move(what), std::move(value)}, time, 0};
}

// "Many failures, then a success": the second example of the specification.
std::string ChainText(std::string_view inner, std::string_view extra = "") {
  return fmt::format(
      "title: Failed\nname: a\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00a\n"
      "logsource: {{product: acme}}\ndetection: {{s: {{what: a}}, condition: s}}\n---\n"
      "title: Success\nname: b\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00b\n"
      "logsource: {{product: acme}}\ndetection: {{s: {{what: b}}, condition: s}}\n---\n"
      "title: Many failed\nname: many\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c101\ncorrelation:\n"
      "  rules: [a]\n  group-by: [v]\n  timespan: 60s\n  {}\n---\n"
      "title: Broken in\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c102\nlevel: critical\ncorrelation:\n"
      "  type: temporal_ordered\n  rules: [many, b]\n  group-by: [who]\n  timespan: 5m\n{}",
      inner, extra);
}

TEST(CorrelationChain, ASuccessAfterManyFailuresIsFound) {
  Bench bench(ChainText("type: event_count\n  condition: {gte: 3}"));
  // The failures are counted by v, the host; the success is of one of the users that failed there.
  bench.Apply(
      bench.HitsOf(0, {At(0, "a", "eve", "h"), At(1, "a", "bob", "h"), At(2, "a", "eve", "h")}));
  EXPECT_THAT(bench.Findings(), IsEmpty());
  bench.Save();
  bench.Kill();
  bench.Apply(bench.HitsOf(0, {At(100, "b", "carol", "h")}));
  EXPECT_THAT(bench.Findings(), IsEmpty());
  bench.Apply(bench.HitsOf(0, {At(120, "b", "bob", "x")}));
  ASSERT_THAT(bench.Findings(), SizeIs(1));
  EXPECT_EQ(bench.latest().title(), "Broken in");
  EXPECT_EQ(bench.latest().severity(), event::v1::CRITICAL);
  EXPECT_EQ(bench.Findings().begin()->group, "bob");
  // Of the failures and of the success.
  EXPECT_THAT(bench.latest().evidence(), SizeIs(4));
}

TEST(CorrelationChain, ASuccessBeforeOrTooLateIsNone) {
  Bench bench(ChainText("type: event_count\n  condition: {gte: 3}"));
  bench.Apply(bench.HitsOf(0, {At(0, "b", "eve", "h")}));
  bench.Apply(
      bench.HitsOf(0, {At(1, "a", "eve", "h"), At(2, "a", "eve", "h"), At(3, "a", "eve", "h")}));
  bench.Apply(bench.HitsOf(0, {At(304, "b", "eve", "h")}));
  EXPECT_THAT(bench.Findings(), IsEmpty());
}

TEST(CorrelationChain, FailuresThatGoOnKeepCounting) {
  Bench bench(ChainText("type: event_count\n  condition: {gte: 3}"));
  std::vector<Arrival> failures;
  for (int i = 0; i < 30; ++i) failures.push_back(At(i * 30, "a", "eve", "h"));
  bench.Apply(bench.HitsOf(0, failures));
  bench.Apply(bench.HitsOf(0, {At(1000, "b", "eve", "h")}));
  EXPECT_THAT(bench.Findings(), SizeIs(1));
}

TEST(CorrelationChain, GenerateTellsOfTheInnerOnesToo) {
  Bench bench(ChainText("type: event_count\n  condition: {gte: 3}", "  generate: true\n"));
  bench.Apply(bench.HitsOf(0, {At(1, "a", "eve", "h"), At(2, "a", "eve", "h"),
                               At(3, "a", "eve", "h"), At(9, "b", "eve", "h")}));
  std::vector<std::string> titles;
  for (const auto& [name, title] : bench.titles()) titles.push_back(title);
  std::ranges::sort(titles);
  EXPECT_THAT(titles, ElementsAre("Broken in", "Many failed", "Success"));
}

TEST(CorrelationChain, AnInnerOneMayBeDecidedAtTheEndOfItsWindow) {
  Bench bench(ChainText("type: event_count\n  condition: {eq: 2}"));
  bench.Apply(
      bench.HitsOf(0, {At(1, "a", "eve", "h"), At(2, "a", "eve", "h"), At(9, "b", "eve", "h")}));
  bench.Save();
  bench.Kill();
  EXPECT_THAT(bench.Findings(), IsEmpty());
  bench.Apply(bench.Time(0, 100));  // 1 + 60 + 30 are over
  ASSERT_THAT(bench.Findings(), SizeIs(1));
  EXPECT_EQ(bench.Findings().begin()->last, 9);
}

// Windows of windows: twice in a minute on one host, and so often in five minutes of one user.
struct Chain {
  std::string name;
  std::string outer;
  bool at_end;
  OracleCondition holds;
};
void PrintTo(const Chain& one, std::ostream* out) { *out << one.name; }

class ChainProperty : public ::testing::TestWithParam<Chain> {
 protected:
  static std::string Text() {
    return fmt::format(
        "title: Seen\nname: a\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00a\n"
        "logsource: {{product: acme}}\ndetection: {{s: {{what: a}}, condition: s}}\n---\n"
        "title: Twice\nname: twice\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c101\ncorrelation:\n"
        "  type: event_count\n  rules: [a]\n  group-by: [who, v]\n  timespan: 60s\n"
        "  condition: {{eq: 2}}\n---\n"
        "title: Outer\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c102\ncorrelation:\n"
        "  type: event_count\n  rules: [twice]\n  group-by: [who]\n  timespan: 5m\n"
        "  condition: {}\n",
        GetParam().outer);
  }
  // Times of activity with nothing between: the sources come far at one step.
  static std::vector<Arrival> Bursts(std::mt19937& random) {
    std::vector<Arrival> arrivals;
    for (int64_t begin = 0, burst = 0; burst < 4; ++burst) {
      const int count = 10 + static_cast<int>(random() % 30);
      for (int i = 0; i < count; ++i) {
        Arrival arrival;
        arrival.event.time = begin + static_cast<int64_t>(random() % 700);
        arrival.event.group = fmt::format("user{}", random() % 2);
        arrival.event.what = "a";
        arrival.event.value = fmt::format("{}", random() % 4);
        arrival.received = arrival.event.time + static_cast<int64_t>(random() % 30);
        arrival.shard = static_cast<int>(random() % kShards);
        arrivals.push_back(std::move(arrival));
      }
      begin += 730 + static_cast<int64_t>(random() % 15'000);
    }
    std::ranges::stable_sort(arrivals, {}, &Arrival::received);
    return arrivals;
  }
  static std::multiset<OracleFinding> Expected(const std::vector<Arrival>& arrivals) {
    std::vector<OracleEvent> events;
    for (const auto& arrival : arrivals) {
      events.push_back(arrival.event);
      events.back().group += "/" + arrival.event.value;
    }
    std::vector<OracleEvent> inner;
    for (const auto& window :
         FindAtEnd(events, kSpan, [](const auto& w) { return w.size() == 2; })) {
      inner.push_back({window.last, window.group.substr(0, window.group.find('/')), "a", "1"});
    }
    return GetParam().at_end ? FindAtEnd(inner, 300, GetParam().holds)
                             : FindWhileGrowing(inner, 300, GetParam().holds);
  }
};

TEST_P(ChainProperty, FindsWhatTheOracleFindsHoweverFarTimeComesAtOneStep) {
  size_t found = 0;
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    const auto arrivals = Bursts(random);
    const auto expected = Expected(arrivals);
    found += expected.size();
    ASSERT_EQ(RunShards(random, Text(), arrivals, seed % 2 == 0), expected);
  }
  EXPECT_GT(found, 40U);
}

INSTANTIATE_TEST_SUITE_P(
    Outer, ChainProperty,
    ::testing::Values(Chain{"Few", "{lt: 3}", true, [](const auto& w) { return w.size() < 3; }},
                      Chain{"Two", "{eq: 2}", true, [](const auto& w) { return w.size() == 2; }},
                      Chain{"AtLeastTwo", "{gte: 2}", false,
                            [](const auto& w) { return w.size() >= 2; }}),
    [](const auto& one) { return one.param.name; });

TEST(Correlation, AliasesJoinDifferentFieldsOfDifferentRules) {
  Bench bench(
      "title: Error\nname: a\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00a\n"
      "logsource: {product: acme}\ndetection: {s: {what: a}, condition: s}\n---\n"
      "title: Connection\nname: b\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00b\n"
      "logsource: {product: acme}\ndetection: {s: {what: b}, condition: s}\n---\n"
      "title: Both\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c100\ncorrelation:\n  type: temporal\n"
      "  rules: [a, b]\n  group-by: [host]\n  timespan: 10s\n  aliases:\n    host:\n      a: who\n"
      "      b: v\n");
  bench.Apply(bench.HitsOf(0, {At(1, "a", "h1", "x"), At(2, "b", "h1", "h2")}));
  EXPECT_THAT(bench.Findings(), IsEmpty());
  bench.Apply(bench.HitsOf(0, {At(3, "b", "x", "h1")}));
  ASSERT_THAT(bench.Findings(), SizeIs(1));
  EXPECT_EQ(bench.latest().matched_fields(0).name(), "host");
  EXPECT_EQ(bench.latest().matched_fields(0).value(), "h1");
}

TEST(Correlation, AnEventWithoutTheMeasuredValueIsNotCounted) {
  Bench bench(TextOf("value_sum\n  condition: {field: v, gte: 4}"));
  bench.Apply(
      bench.HitsOf(0, {At(1, "a", "eve", "2"), At(2, "a", "eve", "much"), At(3, "a", "eve", "2")}));
  ASSERT_THAT(bench.Findings(), SizeIs(1));
  EXPECT_EQ(bench.latest().event_count(), 2U);
}

TEST(Correlation, TellsWhatItMeasured) {
  Bench sum(TextOf("value_sum\n  condition: {field: v, gte: 4}"));
  sum.Apply(sum.HitsOf(0, {At(1, "a", "eve", "2"), At(2, "b", "eve", "2.5")}));
  ASSERT_THAT(sum.latest().matched_fields(), SizeIs(2));
  EXPECT_EQ(sum.latest().matched_fields(1).name(), "value_sum(v)");
  EXPECT_EQ(sum.latest().matched_fields(1).value(), "4.5");
  Bench share(TextOf("value_percentile\n  condition: {field: v, lte: 25}"));
  share.Apply(share.HitsOf(0, {At(1, "a", "eve", "x"), At(2, "b", "eve", "x"),
                               At(3, "b", "eve", "y"), At(4, "b", "eve", "x")}));
  share.Apply(share.Time(0, 200));
  ASSERT_THAT(share.latest().matched_fields(), SizeIs(3));
  EXPECT_EQ(share.latest().matched_fields(2).value(), "y");
}

TEST(Correlation, AWindowWaitsForTheSlowerShardButNotForASilentOne) {
  Bench bench(TextOf("event_count\n  condition: {lt: 3}"));
  bench.Apply(bench.Time(1, 0));
  bench.Apply(bench.HitsOf(0, {At(1, "a", "eve")}));
  bench.Apply(bench.Time(0, 500));
  EXPECT_THAT(bench.Findings(), IsEmpty());
  bench.Apply(bench.Time(0, 700));  // the other one is ten minutes behind
  EXPECT_THAT(bench.Findings(), SizeIs(1));
}

TEST(Correlation, WhatComesTooLateForItsWindowIsNotCounted) {
  Bench bench(TextOf("event_count\n  condition: {lt: 3}"));
  bench.Apply(bench.Time(0, 500));
  bench.Apply(bench.HitsOf(0, {{{469, "eve", "a", "1"}, 501, 0}}));
  EXPECT_EQ(bench.windows().late(), 1U);
  EXPECT_EQ(bench.windows().size(), 0U);
  bench.Apply(bench.HitsOf(0, {{{471, "eve", "a", "1"}, 501, 0}}));
  EXPECT_EQ(bench.windows().size(), 1U);
}

TEST(Correlation, OfflineWindowsEndWithFinish) {
  Windows::Limits limits{kLateness, 10};
  limits.offline = true;
  Bench bench(TextOf("event_count\n  condition: {lt: 3}"), limits);
  bench.Apply(bench.HitsOf(0, {At(5000, "a", "eve")}));
  bench.Apply(bench.HitsOf(0, {At(1, "a", "eve")}));
  EXPECT_THAT(bench.Findings(), IsEmpty());
  bench.Note(bench.windows().Finish());
  EXPECT_THAT(bench.Findings(), SizeIs(2));
}

TEST(Pending, IsBoundedAndKeepsSumsExact) {
  internal::v1::RuleSummary rule;
  rule.set_type(internal::v1::VALUE_SUM);
  rule.set_timespan_nanos(INT64_MAX);
  internal::v1::Group group;
  constexpr int kEvents = 100'000;
  for (int i = 0; i < kEvents; ++i) ASSERT_GE(AddPending(group, rule, {i, 0, 2}), 0);
  EXPECT_LE(group.pending_size(), kMaxPending);
  EXPECT_EQ(group.pending(0), 0);
  EXPECT_DOUBLE_EQ(Judge(group, rule, {0, group.pending_size() - 1}).measure, 2.0 * kEvents);
  rule.set_type(internal::v1::VALUE_AVERAGE);
  EXPECT_DOUBLE_EQ(Judge(group, rule, {0, group.pending_size() - 1}).measure, 2.0);
}

TEST(Pending, KeepsEveryValueUpToTheBound) {
  internal::v1::RuleSummary rule;
  rule.set_type(internal::v1::VALUE_COUNT);
  rule.set_timespan_nanos(INT64_MAX);
  internal::v1::Group group;
  for (int i = 0; i < 100'000; ++i) {
    AddPending(group, rule, {i, static_cast<uint64_t>(i % 9000), 0});
  }
  EXPECT_LE(group.pending_size(), kMaxPending);
  EXPECT_EQ(Judge(group, rule, {0, group.pending_size() - 1}).measure, 9000);
}

TEST(Pending, EstimatesPercentilesBeyondTheBound) {
  internal::v1::RuleSummary rule;
  rule.set_type(internal::v1::VALUE_PERCENTILE);
  rule.set_percentile(90);
  rule.set_timespan_nanos(INT64_MAX);
  internal::v1::Group group;
  std::mt19937 random(1);
  for (int i = 0; i < 200'000; ++i) {
    AddPending(group, rule, {i, 0, static_cast<double>(random() % 1000)});
  }
  EXPECT_LE(group.pending_size(), kMaxPending);
  EXPECT_NEAR(Judge(group, rule, {0, group.pending_size() - 1}).measure, 900, 20);
}

}  // namespace
}  // namespace yagura::detection
