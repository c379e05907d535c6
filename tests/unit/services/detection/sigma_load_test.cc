#include <string>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/status/status.h"
#include "services/detection/domain/engine/rule_split.h"
#include "tests/unit/services/detection/engine_fixture.h"

namespace yagura::detection {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::RuleWith;

std::string Refusal(const std::string& text) {
  const auto parsed = ParseSigma(text);
  EXPECT_FALSE(parsed.ok()) << text;
  EXPECT_EQ(ErrorReason(parsed.status()), "RULE_REFUSED");
  return std::string(Message(parsed.status()));
}

std::string RefusalOf(const std::string& detection) { return Refusal(RuleWith(detection)); }

constexpr std::string_view kBase =
    "title: Failed login\nname: failed\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001\n"
    "logsource:\n  product: acme\ndetection:\n  s:\n    a: 1\n  condition: s\n";

std::string Correlated(const std::string& body) {
  return std::string(kBase) +
         "---\ntitle: Many\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002\nlevel: high\ncorrelation:\n" +
         body;
}

TEST(SigmaLoad, ReadsWhatAFindingTells) {
  const auto parsed = ParseSigma(
      "title: T\nid: 4B4AA1E8-6a3f-4c6b-9d6e-0a86b7f3c001\ndescription: D\n"
      "tags: [attack.T1110]\nfalsepositives:\n  - Admins\nlevel: critical\n"
      "logsource:\n  product: acme\ndetection:\n  s:\n    a: 1\n  condition: s\n");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->info().id, "4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001");
  EXPECT_EQ(parsed->info().severity, 5);
  EXPECT_THAT(parsed->info().tags, ElementsAre("attack.t1110"));
  EXPECT_THAT(parsed->info().false_positives, ElementsAre("Admins"));
  EXPECT_EQ(parsed->version.size(), 12U);
}

TEST(SigmaLoad, NeverIgnoresWhatItDoesNotKnow) {
  EXPECT_EQ(RefusalOf("  s:\n    a|sounds_like: x\n  condition: s"),
            "line 7: modifier \"sounds_like\" is not known");
  EXPECT_THAT(RefusalOf("  s:\n    a|re: '(?<!x)y'\n  condition: s"),
              HasSubstr("line 7: not a regular expression that RE2 takes"));
  EXPECT_THAT(RefusalOf("  s:\n    a|cidr: 10.0.0.0/40\n  condition: s"), HasSubstr("CIDR"));
  EXPECT_THAT(RefusalOf("  s:\n    a|gt: ten\n  condition: s"), HasSubstr("not a number"));
  EXPECT_THAT(RefusalOf("  s:\n    a|contains|startswith: x\n  condition: s"),
              HasSubstr("do not go together"));
  EXPECT_THAT(RefusalOf("  s:\n    a|exists: maybe\n  condition: s"), HasSubstr("true or false"));
  EXPECT_THAT(RefusalOf("  s:\n    a: 1\n  timeframe: 5m\n  condition: s"), HasSubstr("line 8"));
  EXPECT_THAT(RefusalOf("  s:\n    a: 1\n  condition: s | count() > 5"), HasSubstr("correlation"));
  EXPECT_THAT(RefusalOf("  s:\n    a: 1\n  condition: t"), HasSubstr("no selection \"t\""));
  EXPECT_THAT(RefusalOf("  s:\n    a: 1\n  condition: 1 of t*"), HasSubstr("no selection fits"));
  EXPECT_THAT(RefusalOf("  s:\n    a: 1\n  condition: 2 of s*"), HasSubstr("not supported"));
  EXPECT_THAT(RefusalOf("  s:\n    a: 1\n  condition: (s"), HasSubstr("not closed"));
  EXPECT_THAT(RefusalOf("  s:\n    a: 1\n  condition: s s"), HasSubstr("unexpected \"s\""));
  EXPECT_THAT(RefusalOf("  s: {}\n  condition: s"), HasSubstr("without fields"));
  EXPECT_THAT(RefusalOf("  s:\n    a: {b: c}\n  condition: s"), HasSubstr("neither text"));
  EXPECT_THAT(RefusalOf("  s:\n    a: 1"), HasSubstr("condition is missing"));
}

TEST(SigmaLoad, RefusesRegularExpressionsThatWouldHoldUpEverybody) {
  const auto of = [](const std::string& expression) {
    return "  s:\n    a|re: '" + expression + "'\n  condition: s";
  };
  EXPECT_THAT(RefusalOf(of("(.{1,30}){1,30}Z")),
              HasSubstr("line 7: the regular expression is too costly: 8164 steps"));
  std::string wide;
  for (int i = 0; i < 20'000; ++i) wide += "(a|b)*";
  EXPECT_THAT(RefusalOf(of(wide)), HasSubstr("too costly"));
  // Never tried on a value of fewer bytes.
  EXPECT_TRUE(ParseSigma(RuleWith(of(".{1000,}"))).ok());

  std::string many = "  s:\n    a|re:\n";
  for (int i = 0; i < 100; ++i) many += fmt::format("      - 'a[^{}]{{1,250}}Z'\n", i % 10);
  EXPECT_THAT(RefusalOf(many + "  condition: s"), HasSubstr("too costly together"));
}

struct RefusedCase {
  std::string name;
  std::string detection;
  std::string reason;
};
class SigmaRefuses : public ::testing::TestWithParam<RefusedCase> {};

TEST_P(SigmaRefuses, WithLineAndReason) {
  EXPECT_EQ(RefusalOf(GetParam().detection + "\n  condition: s"), GetParam().reason);
}

INSTANTIATE_TEST_SUITE_P(
    Points, SigmaRefuses,
    ::testing::Values(
        RefusedCase{"PlaceholderWithoutValue", "  s:\n    a|expand: '%Servers%'",
                    "line 7: placeholder %Servers% has no value"},
        RefusedCase{"PlaceholderWithHyphens", "  s:\n    a|expand: '%DC-NAME%'",
                    "line 7: placeholder %DC-NAME% has no value"},
        RefusedCase{"ExpandWithoutPlaceholder", "  s:\n    a|expand: '%DC NAME%'",
                    "line 7: expand: there is no placeholder in the value"},
        RefusedCase{"Base64OfWildcards", "  s:\n    a|base64: 'x*'",
                    "line 7: a text with wildcards has no Base64 form"},
        RefusedCase{"Base64OffsetOfTooLittle", "  s:\n    a|base64offset|contains: x",
                    "line 7: too short: nothing of it is fixed at every offset"},
        RefusedCase{"Utf16OfOneCharacter", "  s:\n    a|wide: 'x?'",
                    "line 7: \"?\" has no UTF-16 form"},
        RefusedCase{"EncodingAfterContains", "  s:\n    a|contains|base64: abc",
                    "line 7: modifiers of \"a|contains|base64\" do not go together"},
        RefusedCase{"TwoPlacements", "  s:\n    a|startswith|endswith: x",
                    "line 7: modifiers of \"a|startswith|endswith\" do not go together"},
        RefusedCase{"CasedNumbers", "  s:\n    a|gt|cased: 5",
                    "line 7: modifiers of \"a|gt|cased\" do not go together"},
        RefusedCase{"WindashOfRegex", "  s:\n    a|re|windash: x",
                    "line 7: modifiers of \"a|re|windash\" do not go together"},
        RefusedCase{"KeywordThatExists", "  s:\n    '|exists': true",
                    "line 7: modifiers of \"|exists\" do not go together"},
        RefusedCase{"FlagWithoutRegex", "  s:\n    a|i: x",
                    "line 7: modifier \"i\" is not after re"},
        RefusedCase{"ModifierTwice", "  s:\n    a|all|all: [x, y]",
                    "line 7: modifier \"all\" stands twice"},
        RefusedCase{"HourThatNoDayHas", "  s:\n    a|hour: 24",
                    "line 7: \"24\" is not a number that this part of a date can be"},
        RefusedCase{"NullContained", "  s:\n    a|contains: null",
                    "line 7: null goes with no modifier and needs a field"},
        RefusedCase{"KeyTwice", "  s:\n    a: 1\n  s:\n    b: 1", "line 8: \"s\" stands twice"},
        RefusedCase{"FieldTwice", "  s:\n    a: 1\n    a: 2", "line 8: \"a\" stands twice"},
        RefusedCase{"FieldTwiceInAList", "  s:\n    - a: 1\n      a: 2",
                    "line 8: \"a\" stands twice"}),
    [](const auto& point) { return point.param.name; });

TEST(SigmaLoad, RefusesWhatSaysThatItIsNotToBeUsed) {
  const std::string rule = RuleWith("  s:\n    a: 1\n  condition: s");
  EXPECT_EQ(Refusal(rule + "taxonomy: acme\n"), "line 10: taxonomy \"acme\" is not known");
  EXPECT_EQ(Refusal(rule + "status: unsupported\n"),
            "line 10: the rule says of itself that it is unsupported");
  EXPECT_TRUE(ParseSigma(rule + "taxonomy: sigma\nstatus: test\n").ok());
}

TEST(SigmaLoad, RefusesBytesThatAreNoText) {
  using namespace std::string_literals;
  EXPECT_THAT(Refusal(",\x01\0\0\xff\xff\0\x19\xff\xff\xff\xff"
                      "dt it\x01\0\0\0\0\0\0\x01"s),
              HasSubstr("not UTF-8"));
  EXPECT_THAT(Refusal("title: \x04"), HasSubstr("control characters"));
  EXPECT_THAT(Refusal("t\0i\0t\0"s), HasSubstr("control characters"));
  EXPECT_THAT(Refusal("title: \xe3\x81"), HasSubstr("not UTF-8"));
}

TEST(SigmaLoad, ComesBackFromTextsThatNeverEnd) {
  for (const std::string text : {",", ",|re", "]", "a: b\n,\n"}) {
    EXPECT_FALSE(ParseSigma(text).ok()) << text;
  }
  EXPECT_THAT(Refusal(","), HasSubstr("too many documents"));
}

TEST(SigmaLoad, WantsTitleIdAndLogsource) {
  EXPECT_THAT(Refusal("id: x"), HasSubstr("title"));
  EXPECT_THAT(Refusal("title: T\nid: 12"), HasSubstr("UUID"));
  EXPECT_THAT(Refusal("title: T\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001"),
              HasSubstr("logsource"));
  EXPECT_THAT(Refusal("title: [unclosed"), HasSubstr("not YAML"));
  EXPECT_THAT(Refusal(""), HasSubstr("no rule"));
  EXPECT_THAT(Refusal("title: T\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001\n"
                      "logsource:\n  product: windows\n  service: nonsense\n"
                      "detection:\n  s:\n    a: 1\n  condition: s\n"),
              HasSubstr("line 4: logsource: Windows service \"nonsense\" is not known"));
}

TEST(SigmaLoad, ReadsEventCountCorrelations) {
  const auto parsed = ParseSigma(Correlated(
      "  type: event_count\n  rules: [failed]\n  group-by: [user, src_ip]\n  timespan: 5m\n"
      "  condition:\n    gte: 10\n"));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  ASSERT_EQ(parsed->correlations.size(), 1U);
  const auto& correlation = parsed->correlations[0];
  EXPECT_EQ(parsed->info().title, "Many");
  EXPECT_TRUE(correlation.IsMonotone());
  EXPECT_EQ(correlation.threshold(), 10U);
  EXPECT_EQ(correlation.timespan, std::chrono::minutes(5));
  EXPECT_THAT(correlation.group_by, ElementsAre("user", "src_ip"));
  ASSERT_EQ(parsed->uses[0].size(), 1U);
  EXPECT_THAT(parsed->uses[0][0].levels[0].group_by, ElementsAre("user", "src_ip"));
}

TEST(SigmaLoad, ReadsRangesAndSaysThatTheyEndWithTheirWindow) {
  const auto parsed =
      ParseSigma(Correlated("  type: event_count\n  rules: [failed]\n  timespan: 5m\n"
                            "  condition:\n    gt: 100\n    lte: 200\n"));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_FALSE(parsed->correlations[0].IsMonotone());
  EXPECT_EQ(parsed->correlations[0].conditions.size(), 2U);
}

TEST(SigmaLoad, ReadsEveryTypeOfCorrelation) {
  for (const std::string_view body :
       {"value_count\n  condition: {field: user, gte: 3}\n",
        "value_count\n  condition: {field: [user, host], gte: 3}\n",
        "value_sum\n  condition: {field: bytes, gt: 1000000}\n",
        "value_avg\n  condition: {field: bytes, gt: 1.5}\n",
        "value_percentile\n  condition: {field: image, lte: 1}\n",
        "value_percentile\n  condition: {field: bytes, percentile: 50, gt: 10}\n", "temporal\n",
        "temporal\n  condition: {gte: 1}\n", "temporal_ordered\n",
        "event_count\n  condition: {neq: 3}\n", "event_count\n  condition: {eq: 3}\n"}) {
    const auto parsed =
        ParseSigma(Correlated("  rules: [failed]\n  timespan: 5m\n  type: " + std::string(body)));
    EXPECT_TRUE(parsed.ok()) << body << parsed.status();
  }
}

constexpr std::string_view kChain = R"(title: Outer
id: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c009
correlation:
  type: temporal_ordered
  rules: [many, success]
  group-by: [address]
  timespan: 10m
  aliases:
    address:
      many: src_ip
      success: c-ip
level: high
---
title: Many
id: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002
name: many
correlation:
  type: event_count
  rules: [failed]
  group-by: [host]
  timespan: 5m
  condition:
    gte: 10
---
title: Success
id: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c003
name: success
logsource: {product: acme}
detection: {s: {a: 2}, condition: s}
---
)";

TEST(SigmaLoad, ReadsChainsWithTheOutermostFirst) {
  for (const std::string& text : {std::string(kChain) + std::string(kBase),
                                  std::string(kBase) + "---\n" + std::string(kChain)}) {
    const auto parsed = ParseSigma(text);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->info().title, "Outer");
    ASSERT_EQ(parsed->correlations.size(), 2U);
    EXPECT_FALSE(parsed->CorrelationMakesFindings(1));
    for (size_t i = 0; i < parsed->rules.size(); ++i) {
      ASSERT_EQ(parsed->uses[i].size(), 1U);
      EXPECT_FALSE(parsed->MakesFindings(i));
      const auto& levels = parsed->uses[i][0].levels;
      if (parsed->rules[i].info.name == "failed") {
        ASSERT_EQ(levels.size(), 2U);
        EXPECT_THAT(levels[0].group_by, ElementsAre("host"));
        EXPECT_THAT(levels[1].group_by, ElementsAre("src_ip"));
      } else {
        ASSERT_EQ(levels.size(), 1U);
        EXPECT_THAT(levels[0].group_by, ElementsAre("c-ip"));
        EXPECT_EQ(levels[0].member, 1U);
      }
    }
  }
}

TEST(SigmaLoad, RefusesCorrelationsThatItCannotKeep) {
  const std::string head = "  rules: [failed]\n  timespan: 5m\n";
  const auto refusal = [&head](const std::string& body) {
    return Refusal(Correlated(head + "  type: " + body));
  };
  EXPECT_THAT(refusal("value_count\n  condition: {gte: 1}\n"), HasSubstr("names no field"));
  EXPECT_THAT(refusal("value_median\n  condition: {field: a, gte: 1}\n"),
              HasSubstr("\"value_median\" is not known"));
  EXPECT_THAT(refusal("value_sum\n  condition: {field: [a, b], gte: 1}\n"),
              HasSubstr("only value_count takes several fields"));
  EXPECT_THAT(refusal("value_sum\n  condition: {field: a, gte: many}\n"),
              HasSubstr("gte is not a number"));
  EXPECT_THAT(refusal("value_sum\n  condition: {field: a, gte: nan}\n"),
              HasSubstr("gte is not a number"));
  EXPECT_THAT(refusal("value_sum\n  condition: {field: a}\n"), HasSubstr("compares with nothing"));
  EXPECT_THAT(refusal("event_count\n  condition: {field: a, gte: 1}\n"), HasSubstr("not a number"));
  EXPECT_THAT(refusal("event_count\n  condition: {about: 1}\n"),
              HasSubstr("\"about\" is not known"));
  EXPECT_THAT(refusal("event_count\n  condition: {gte: 0}\n"), HasSubstr("number from 1"));
  EXPECT_THAT(refusal("event_count\n  condition: {gte: 1.5}\n"), HasSubstr("number from 1"));
  EXPECT_THAT(refusal("event_count\n  condition: {eq: 0}\n"), HasSubstr("never holds"));
  EXPECT_THAT(refusal("event_count\n  condition: {gt: 5, lt: 6}\n"), HasSubstr("never holds"));
  EXPECT_THAT(refusal("temporal\n  condition: {gte: 2}\n"), HasSubstr("never holds"));
  EXPECT_THAT(refusal("temporal_ordered\n  condition: {lte: 1}\n"), HasSubstr("gt and gte alone"));
  EXPECT_THAT(refusal("value_percentile\n  condition: {field: a, percentile: 101, gt: 1}\n"),
              HasSubstr("from 0 to 100"));
  EXPECT_THAT(refusal("event_count\n  window: sliding\n  condition: {gte: 2}\n"),
              HasSubstr("\"window\" is not supported"));
  EXPECT_THAT(refusal("event_count\n  group-by: [who]\n  aliases: {who: {other: a}}\n"
                      "  condition: {gte: 2}\n"),
              HasSubstr("alias \"who\" has no field for rule"));
  EXPECT_THAT(Refusal(Correlated("  type: event_count\n  rules: [other]\n  timespan: 5m\n"
                                 "  condition:\n    gte: 2\n")),
              HasSubstr("no rule \"other\""));
  EXPECT_THAT(Refusal(Correlated("  type: event_count\n  rules: [failed]\n  timespan: soon\n"
                                 "  condition:\n    gte: 2\n")),
              HasSubstr("timespan"));
}

TEST(SigmaLoad, RefusesCirclesAndTwoOutermost) {
  const std::string two =
      "---\ntitle: B\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c005\nname: b\ncorrelation:\n"
      "  type: temporal\n  timespan: 5m\n  rules: ";
  const std::string one =
      "---\ntitle: A\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c004\nname: a\ncorrelation:\n"
      "  type: temporal\n  timespan: 5m\n  rules: ";
  const std::string base(kBase);
  EXPECT_THAT(Refusal(base + one + "[failed]\n" + two + "[failed]\n"),
              HasSubstr("more than one correlation"));
  const std::string three =
      "---\ntitle: C\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c006\ncorrelation:\n"
      "  type: temporal\n  timespan: 5m\n  rules: [failed]\n";
  EXPECT_THAT(Refusal(base + one + "[b]\n" + two + "[a]\n" + three),
              HasSubstr("in a circle: \"A\" -> \"B\" -> \"A\""));
  EXPECT_THAT(Refusal(base + one + "[b]\n" + two + "[a]\n"), HasSubstr("circle"));
  EXPECT_THAT(Refusal(one + "[b]\n" + two + "[a]\n"), HasSubstr("circle"));
  EXPECT_THAT(Refusal(base + one + "[a]\n"), HasSubstr("\"A\" refers to itself"));
}

// A file that has the correlation alone says which rule it lacks, not that there is none.
TEST(SigmaLoad, SaysWhichRuleACorrelationLacks) {
  const std::string alone =
      "title: Many\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002\ncorrelation:\n  type: event_count\n"
      "  rules: [failed]\n  timespan: 5m\n  condition:\n    gte: 2\n";
  EXPECT_THAT(Refusal(alone), HasSubstr("line 5: correlation \"Many\": the text has no rule "
                                        "\"failed\""));
}

std::string PlainRule(int number) {
  return fmt::format(
      "title: R{0}\nname: r{0}\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c0{0:02}\nlogsource:\n"
      "  product: acme\ndetection:\n  s:\n    a: {0}\n  condition: s\n",
      number);
}

std::string CountOf(int number, const std::string& rules) {
  return fmt::format(
      "title: C{0}\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c0{0:02}\ncorrelation:\n"
      "  type: event_count\n  rules: {1}\n  timespan: 5m\n  condition:\n    gte: 2\n",
      number, rules);
}

// Titles of what each part is parsed to; a refusal by its reason.
std::vector<std::string> TitlesOf(const std::string& text) {
  std::vector<std::string> titles;
  for (const auto& part : SplitRules(text)) {
    const auto parsed = ParseSigma(part.text);
    if (!parsed.ok()) {
      titles.emplace_back(Message(part.InFile(parsed.status())));
      continue;
    }
    EXPECT_EQ(parsed->info().id, part.id);
    titles.push_back(parsed->info().title);
    for (const auto& rule : parsed->rules) {
      if (!parsed->correlations.empty()) titles.back() += " " + rule.info.title;
    }
  }
  return titles;
}

TEST(SplitRules, GivesEachRuleOfAFileByItself) {
  EXPECT_THAT(TitlesOf(PlainRule(1)), ElementsAre("R1"));
  EXPECT_THAT(TitlesOf("# ours\n---\n" + PlainRule(1) + "---\n# none\n--- # next\n" + PlainRule(2) +
                       "---\n"),
              ElementsAre("R1", "R2"));
  EXPECT_THAT(TitlesOf(PlainRule(1) + "---\n" + CountOf(9, "[r1]")), ElementsAre("C9 R1"));
  // Another rule than those that it counts finds for itself, and so does another correlation.
  EXPECT_THAT(TitlesOf(PlainRule(1) + "---\n" + PlainRule(2) + "---\n" + CountOf(9, "[r1]") +
                       "---\n" + CountOf(8, "r1")),
              ElementsAre("R2", "C9 R1", "C8 R1"));
}

TEST(SplitRules, ARefusalNamesTheLineOfTheFile) {
  const std::string bad =
      "title: Bad\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c077\nlogsource:\n  product: acme\n"
      "detection:\n  s:\n    a|sounds_like: 1\n  condition: s\n";
  EXPECT_THAT(TitlesOf(PlainRule(1) + "---\n" + bad + "---\n" + PlainRule(2)),
              ElementsAre("R1", "line 17: modifier \"sounds_like\" is not known", "R2"));
  EXPECT_THAT(TitlesOf(PlainRule(1) + "---\na: [\n---\n" + PlainRule(2)),
              ElementsAre("R1", HasSubstr("not YAML"), "R2"));
  EXPECT_THAT(TitlesOf(PlainRule(2) + "---\n" + PlainRule(1) + "---\n" + CountOf(9, "[r1, r7]")),
              ElementsAre("R2", HasSubstr("line 25: correlation \"C9\": the text has no rule")));
}

TEST(SplitRules, LeavesWholeWhatCannotBeToldApart) {
  const std::string collection = "action: global\nlevel: low\n---\n" + PlainRule(1);
  EXPECT_THAT(SplitRules(collection), ::testing::SizeIs(1));
  EXPECT_THAT(SplitRules(std::string(kMaxRuleText + 1, ' ')), ::testing::SizeIs(1));
  // Many correlations that share one large rule would be much more than the file.
  std::string shared = PlainRule(1) + "description: " + std::string(200'000, 'x') + "\n";
  for (int i = 10; i < 90; ++i) shared += "---\n" + CountOf(i, "[r1]");
  EXPECT_THAT(TitlesOf(shared), ElementsAre(HasSubstr("divide the file into several")));
}

std::string Documents(int count, const std::string& body) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "---\n" + body;
  return text;
}

// However often they name each other.
TEST(SplitRules, IsBounded) {
  std::string twice = "name: a\ncorrelation: {rules: [";
  for (int i = 0; i < 100; ++i) twice += i == 0 ? "a" : ",a";
  EXPECT_THAT(TitlesOf(Documents(1'000, twice + "]}\n")),
              ElementsAre("correlations refer to more than 20000 rules in all: divide the file "
                          "into several"));
  // A rule that is named more than once is one all the same.
  EXPECT_EQ(SplitRules(Documents(100, twice + "]}\n")).front().too_much, "");
  EXPECT_THAT(TitlesOf(Documents(1'001, "a: 1\n")),
              ElementsAre("more than 1000 documents in one file: divide it into several"));
  EXPECT_THAT(SplitRules(Documents(1'000, "a: 1\n")), ::testing::SizeIs(1'000));
}

TEST(SigmaLoad, IsBounded) {
  EXPECT_THAT(Refusal(std::string(kMaxRuleText + 1, ' ')), HasSubstr("longer"));
  std::string many = "  s:\n    a: 1\n  condition: ";
  EXPECT_THAT(RefusalOf(many + std::string(100, '(') + "s" + std::string(100, ')')),
              HasSubstr("nested"));
  std::string bomb = "  a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n";
  for (char c = 'b'; c < 'k'; ++c) {
    bomb += std::string("  ") + c + ": &" + c + " [";
    for (int i = 0; i < 9; ++i) bomb += std::string(i > 0 ? "," : "") + "*" + char(c - 1);
    bomb += "]\n";
  }
  EXPECT_FALSE(ParseSigma(RuleWith(bomb + "  condition: 1 of them")).ok());
}

}  // namespace
}  // namespace yagura::detection
