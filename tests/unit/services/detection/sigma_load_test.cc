#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/status/status.h"
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
        RefusedCase{"KeyTwice", "  s:\n    a: 1\n  s:\n    b: 1", "line 8: \"s\" stands twice"}),
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
  ASSERT_TRUE(parsed->correlation.has_value());
  EXPECT_EQ(parsed->info().title, "Many");
  EXPECT_EQ(parsed->correlation->threshold, 10U);
  EXPECT_EQ(parsed->correlation->timespan, std::chrono::minutes(5));
  EXPECT_THAT(parsed->correlation->group_by, ElementsAre("user", "src_ip"));
  EXPECT_THAT(parsed->correlation->rules, ElementsAre(0));
}

TEST(SigmaLoad, RefusesCorrelationsThatItCannotKeep) {
  const std::string head = "  rules: [failed]\n  timespan: 5m\n";
  EXPECT_THAT(Refusal(Correlated(head + "  type: value_count\n  condition:\n    gte: 1\n")),
              HasSubstr("value_count"));
  EXPECT_THAT(Refusal(Correlated(head + "  type: event_count\n  condition:\n    lte: 1\n")),
              HasSubstr("lte"));
  EXPECT_THAT(Refusal(Correlated(head + "  type: event_count\n  condition:\n    gte: 0\n")),
              HasSubstr("number from 1"));
  EXPECT_THAT(Refusal(Correlated(head + "  type: event_count\n  aliases: {}\n  condition:\n"
                                        "    gte: 2\n")),
              HasSubstr("aliases"));
  EXPECT_THAT(Refusal(Correlated("  type: event_count\n  rules: [other]\n  timespan: 5m\n"
                                 "  condition:\n    gte: 2\n")),
              HasSubstr("no rule \"other\""));
  EXPECT_THAT(Refusal(Correlated("  type: event_count\n  rules: [failed]\n  timespan: soon\n"
                                 "  condition:\n    gte: 2\n")),
              HasSubstr("timespan"));
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
