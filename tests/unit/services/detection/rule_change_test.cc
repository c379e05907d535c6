#include <string>
#include <string_view>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "services/detection/domain/engine/counting.h"
#include "tests/unit/services/detection/correlation_fixture.h"

// What becomes of open windows where a rule changes.
namespace yagura::detection {
namespace {

using testing::Arrival;
using testing::Bench;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::TextOf;

constexpr std::string_view kThree = "event_count\n  condition: {gte: 3}";

Arrival At(int64_t second, std::string value = "1") {
  return {{second, "user", "a", std::move(value)}, second, 0};
}

ParsedRule Parsed(const std::string& text) {
  auto parsed = ParseSigma(text);
  EXPECT_TRUE(parsed.ok()) << parsed.status() << text;
  return *std::move(parsed);
}

std::string CountingOfText(const std::string& text) { return Parsed(text).counting; }

// `text` with all that is `from` as `to`; there is some.
std::string With(std::string text, std::string_view from, std::string_view to) {
  size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  for (; at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

const std::string kText = TextOf(kThree);

TEST(Counting, WhatFindingsTellDoesNotMatter) {
  const std::string before = CountingOfText(kText);
  EXPECT_THAT(before, SizeIs(16));
  for (const auto& text : {
           kText + "description: Said better\nauthor: Somebody\nstatus: test\n"
                   "falsepositives: [backups]\ntags: [attack.t1110]\n",
           With(kText, "title: Correlated", "title: Three of them"),
           With(kText, "level: high", "level: low"),
           With(kText, "{s: {what: a}, condition: s}", "{condition: t, t: {what: a}}"),
           With(kText, "gte: 3", "gt: 7"),
       }) {
    EXPECT_EQ(CountingOfText(text), before) << text;
    EXPECT_NE(Parsed(text).version, Parsed(kText).version);
  }
}

TEST(Counting, WhatIsCountedMatters) {
  std::vector<std::string> all = {CountingOfText(kText)};
  for (const auto& text : {
           With(kText, "what: a}", "what: d}"),
           With(kText, "what: a}", "what: [a, d]}"),
           With(kText, "what: a}", "what|contains: a}"),
           With(kText, "what: a}", "who: a}"),
           With(kText, "{s: {what: a}, condition: s}", "{s: {what: a}, condition: not s}"),
           With(kText, "product: acme", "product: other"),
           With(kText, "group-by: [who]", "group-by: [what]"),
           With(kText, "group-by: [who]", "group-by: [who, v]"),
           With(kText, "timespan: 60s", "timespan: 61s"),
           With(kText, "rules: [a, b, c]", "rules: [a, c, b]"),
           With(kText, "gte: 3", "lte: 3"),
           With(kText, "{gte: 3}", "{gte: 3}\n  generate: true"),
           TextOf("value_count\n  condition: {field: v, gte: 3}"),
           TextOf("value_count\n  condition: {field: who, gte: 3}"),
           TextOf("value_percentile\n  condition: {field: v, percentile: 50, gte: 3}"),
           TextOf("value_percentile\n  condition: {field: v, percentile: 51, gte: 3}"),
       }) {
    all.push_back(CountingOfText(text));
    for (size_t i = 0; i + 1 < all.size(); ++i) EXPECT_NE(all[i], all.back()) << text;
  }
}

TEST(Counting, ConditionsThatSayTheSameAreTheSame) {
  const auto of = [](std::string_view detection) {
    return CountingOfText(fmt::format(
        "title: One\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001\nlogsource: {{product: acme}}\n"
        "detection: {}\n",
        detection));
  };
  const std::string before = of("{s: {a: [x, y], b: z}, condition: s}");
  EXPECT_EQ(of("{s: {b: z, a: [y, x]}, condition: s}"), before);
  EXPECT_EQ(of("{s: {a: [x, y]}, t: {b: z}, condition: t and s}"), before);
  EXPECT_EQ(of("{s: {a: x}, t: {b: z}, u: {a: y}, condition: (s or u) and t}"), before);
  EXPECT_NE(of("{s: {a: x}, t: {b: z}, u: {a: y}, condition: s or u and t}"), before);
  EXPECT_NE(of("{s: {a: [x, y]}, t: {b: z}, condition: t or s}"), before);
  EXPECT_NE(of("{s: {a: xy, b: z}, condition: s}"), before);
}

// Where this changes, all open windows begin anew with the upgrade.
TEST(Counting, IsTheSameInEachRelease) { EXPECT_EQ(CountingOfText(kText), "8e809af12061c15c"); }

class RuleChange : public ::testing::Test {
 protected:
  // What begins by events of those seconds.
  std::vector<v1::Finding> Begun(const std::vector<Arrival>& arrivals) {
    std::vector<v1::Finding> begun;
    const auto outcomes = bench_.windows().Apply(bench_.HitsOf(0, arrivals));
    bench_.Note(outcomes);
    for (const auto& outcome : outcomes) {
      if (outcome.began) begun.push_back(outcome.finding);
    }
    bench_.Save();
    bench_.Kill();
    return begun;
  }
  static ParsedRule OnTrial(const std::string& text) {
    ParsedRule rule = Parsed(text);
    rule.untold = true;
    rule.version += "u";
    return rule;
  }

  Bench bench_{kText};
};

TEST_F(RuleChange, AHalfFullWindowGoesOnAndTheFindingIsOfTheNewVersion) {
  EXPECT_THAT(Begun({At(0), At(1)}), IsEmpty());
  const std::string changed = With(kText, "level: high", "level: low");
  bench_.Use(changed);
  const auto begun = Begun({At(2)});
  ASSERT_THAT(begun, SizeIs(1));
  EXPECT_EQ(begun[0].event_count(), 3U);
  EXPECT_EQ(begun[0].rule_version(), Parsed(changed).version);
  EXPECT_EQ(begun[0].severity(), event::v1::LOW);
}

TEST_F(RuleChange, AFindingGoesOnGrowing) {
  ASSERT_THAT(Begun({At(0), At(1), At(2)}), SizeIs(1));
  bench_.Use(kText + "description: Said better\n");
  EXPECT_THAT(Begun({At(3), At(4)}), IsEmpty());
  EXPECT_EQ(bench_.latest().event_count(), 5U);
}

TEST_F(RuleChange, AWindowIsJudgedByTheNumbersThatHoldAtItsEnd) {
  const std::string at_most = TextOf("event_count\n  condition: {lte: 2}");
  bench_.Use(at_most);
  EXPECT_THAT(Begun({At(0), At(1)}), IsEmpty());
  bench_.Use(With(at_most, "lte: 2", "lte: 3"));
  EXPECT_THAT(Begun({At(2)}), IsEmpty());
  bench_.Apply(bench_.Time(0, 1000));
  bench_.Save();
  EXPECT_EQ(bench_.latest().event_count(), 3U);
  EXPECT_EQ(bench_.saved().bundles(), 0U) << "neither the old rule nor the new one is needed";
}

// Also where the event that comes next brings no value that is not there.
TEST_F(RuleChange, WhatIsPendingIsEnoughForALowerNumber) {
  const std::string values = TextOf("value_count\n  condition: {field: v, gte: 5}");
  bench_.Use(values);
  EXPECT_THAT(Begun({At(0, "1"), At(1, "2"), At(2, "3"), At(3, "4")}), IsEmpty());
  bench_.Use(With(values, "gte: 5", "gte: 4"));
  const auto begun = Begun({At(4, "4")});
  ASSERT_THAT(begun, SizeIs(1));
  EXPECT_EQ(begun[0].event_count(), 5U);
}

TEST_F(RuleChange, AHigherNumberWantsMore) {
  EXPECT_THAT(Begun({At(0), At(1)}), IsEmpty());
  bench_.Use(With(kText, "gte: 3", "gte: 4"));
  EXPECT_THAT(Begun({At(2)}), IsEmpty());
  bench_.Use(kText);
  const auto begun = Begun({At(3)});
  ASSERT_THAT(begun, SizeIs(1));
  EXPECT_EQ(begun[0].event_count(), 4U);
}

TEST_F(RuleChange, ARuleThatIsOnTrialNoMoreGoesOnCounting) {
  bench_.Use(OnTrial(kText));
  EXPECT_THAT(Begun({At(0), At(1)}), IsEmpty());
  bench_.Use(kText);
  const auto begun = Begun({At(2)});
  ASSERT_THAT(begun, SizeIs(1));
  EXPECT_FALSE(begun[0].untold());
}

// Nobody would be told of an attack that began on trial and goes on.
TEST_F(RuleChange, WhatWasFoundOnTrialKeepsNothingFromBeingTold) {
  bench_.Use(OnTrial(kText));
  const auto on_trial = Begun({At(0), At(1), At(2)});
  ASSERT_THAT(on_trial, SizeIs(1));
  EXPECT_TRUE(on_trial[0].untold());
  bench_.Use(kText);
  EXPECT_THAT(Begun({At(3), At(4)}), IsEmpty());
  const auto told = Begun({At(5)});
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_FALSE(told[0].untold());
  EXPECT_NE(told[0].name(), on_trial[0].name());
  EXPECT_EQ(told[0].event_count(), 3U);
  bench_.Use(OnTrial(kText));
  EXPECT_THAT(Begun({At(6), At(7), At(8)}), SizeIs(1));
  EXPECT_TRUE(bench_.latest().untold());
}

// An earlier release has another window for each version of a text.
TEST_F(RuleChange, WindowsOfAnEarlierReleaseGoOn) {
  for (const bool at_end : {false, true}) {
    SCOPED_TRACE(at_end);
    const std::string text = at_end ? TextOf("event_count\n  condition: {lte: 3}") : kText;
    Bench bench(text);
    auto old = bench.HitsOf(0, {At(0), At(1)});
    for (auto& rule : *old.mutable_rules()) rule.clear_counting();
    bench.Apply(old);
    bench.Save();
    bench.Kill();
    bench.Apply(bench.HitsOf(0, {At(2)}));
    bench.Save();
    EXPECT_EQ(bench.saved().groups(), 1U) << "under its new key alone";
    bench.Kill();
    bench.Apply(bench.Time(0, 1000));
    bench.Save();
    EXPECT_EQ(bench.latest().event_count(), 3U);
    EXPECT_EQ(bench.saved().groups(), 0U);
    EXPECT_EQ(bench.saved().bundles(), 0U);
  }
}

// What the text no longer counts alike ends in its own time.
TEST_F(RuleChange, WindowsThatNothingJoinsAnyMoreEndInTheirTime) {
  auto old = bench_.HitsOf(0, {At(0), At(1)});
  for (auto& rule : *old.mutable_rules()) rule.clear_counting();
  bench_.Apply(old);
  bench_.Use(With(kText, "timespan: 60s", "timespan: 61s"));
  EXPECT_THAT(Begun({At(2)}), IsEmpty());
  EXPECT_EQ(bench_.saved().groups(), 2U);
  bench_.Apply(bench_.Time(0, 1000));
  bench_.Save();
  EXPECT_EQ(bench_.saved().groups(), 0U);
}

}  // namespace
}  // namespace yagura::detection
