#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/unit/services/detection/engine_fixture.h"

namespace yagura::detection {
namespace {

using testing::BatchOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::MakeEvent;
using testing::RowsOf;
using testing::RuleWith;

std::vector<uint32_t> Rows(const std::string& detection,
                           const std::vector<event::v1::Event>& events) {
  return RowsOf(RuleWith(detection), events);
}

TEST(SigmaMatch, ComparesWholeValuesIgnoringCase) {
  const std::vector events = {MakeEvent({{"Image", "C:\\Windows\\CMD.exe"}}),
                              MakeEvent({{"Image", "cmd.exe"}}), MakeEvent({{"Other", "cmd.exe"}})};
  EXPECT_THAT(Rows("  s:\n    Image: cmd.EXE\n  condition: s", events), ElementsAre(1));
  EXPECT_THAT(Rows("  s:\n    Image|cased: cmd.EXE\n  condition: s", events), IsEmpty());
  EXPECT_THAT(Rows("  s:\n    Image|endswith: '\\cmd.exe'\n  condition: s", events),
              ElementsAre(0));
  EXPECT_THAT(Rows("  s:\n    Image|startswith: 'c:\\'\n  condition: s", events), ElementsAre(0));
  EXPECT_THAT(Rows("  s:\n    Image|contains: MD.\n  condition: s", events), ElementsAre(0, 1));
}

TEST(SigmaMatch, UnderstandsWildcardsAndTheirEscapes) {
  const std::vector events = {MakeEvent({{"f", "a*b"}}),     MakeEvent({{"f", "axxb"}}),
                              MakeEvent({{"f", "a?b"}}),     MakeEvent({{"f", "a\\zb"}}),
                              MakeEvent({{"f", "a\\\\b"}}),  MakeEvent({{"f", "ab"}}),
                              MakeEvent({{"f", "a\u00fcb"}})};
  EXPECT_THAT(Rows("  s:\n    f: 'a*b'\n  condition: s", events), ElementsAre(0, 1, 2, 3, 4, 5, 6));
  EXPECT_THAT(Rows("  s:\n    f: 'a?b'\n  condition: s", events), ElementsAre(0, 2, 6));
  EXPECT_THAT(Rows("  s:\n    f: 'a\\*b'\n  condition: s", events), ElementsAre(0));
  EXPECT_THAT(Rows("  s:\n    f: 'a\\?b'\n  condition: s", events), ElementsAre(2));
  // A single backslash is itself, also doubled; four are two.
  EXPECT_THAT(Rows("  s:\n    f: 'a\\zb'\n  condition: s", events), ElementsAre(3));
  EXPECT_THAT(Rows("  s:\n    f: 'a\\\\*'\n  condition: s", events), ElementsAre(3, 4));
  EXPECT_THAT(Rows("  s:\n    f: 'a\\\\\\\\b'\n  condition: s", events), ElementsAre(4));
}

TEST(SigmaMatch, ListsAreAlternativesUnlessAll) {
  const std::vector events = {MakeEvent({{"c", "one two"}}), MakeEvent({{"c", "two three"}})};
  EXPECT_THAT(Rows("  s:\n    c|contains: [one, three]\n  condition: s", events),
              ElementsAre(0, 1));
  EXPECT_THAT(Rows("  s:\n    c|contains|all: [one, two]\n  condition: s", events), ElementsAre(0));
  EXPECT_THAT(Rows("  s:\n    - c: one two\n    - c|startswith: two\n  condition: s", events),
              ElementsAre(0, 1));
}

TEST(SigmaMatch, NullAndExistsAskForTheField) {
  const std::vector events = {MakeEvent({{"a", "1"}, {"b", "x"}}), MakeEvent({{"a", "1"}})};
  EXPECT_THAT(Rows("  s:\n    a: 1\n    b: null\n  condition: s", events), ElementsAre(1));
  EXPECT_THAT(Rows("  s:\n    b|exists: true\n  condition: s", events), ElementsAre(0));
  EXPECT_THAT(Rows("  s:\n    b|exists: false\n  condition: s", events), ElementsAre(1));
  EXPECT_THAT(Rows("  s:\n    b|neq: y\n  condition: s", events), ElementsAre(0));
}

TEST(SigmaMatch, ComparesNumbersAddressesAndExpressions) {
  const std::vector events = {MakeEvent({{"n", "10"}, {"ip", "10.1.2.3"}, {"t", "abc123"}}),
                              MakeEvent({{"n", "9.5"}, {"ip", "192.0.2.1"}, {"t", "ABC"}}),
                              MakeEvent({{"n", "many"}, {"ip", "2001:db8::5"}, {"t", "x"}})};
  EXPECT_THAT(Rows("  s:\n    n|gte: 10\n  condition: s", events), ElementsAre(0));
  EXPECT_THAT(Rows("  s:\n    n|lt: 10\n  condition: s", events), ElementsAre(1));
  EXPECT_THAT(Rows("  s:\n    ip|cidr: 10.0.0.0/8\n  condition: s", events), ElementsAre(0));
  EXPECT_THAT(Rows("  s:\n    ip|cidr: ['2001:db8::/32', 192.0.2.0/24]\n  condition: s", events),
              ElementsAre(1, 2));
  EXPECT_THAT(Rows("  s:\n    t|re: 'b.[0-9]+$'\n  condition: s", events), ElementsAre(0));
  EXPECT_THAT(Rows("  s:\n    t|re: '^abc$'\n  condition: s", events), IsEmpty());
  EXPECT_THAT(Rows("  s:\n    t|re|i: '^abc$'\n  condition: s", events), ElementsAre(1));
}

TEST(SigmaMatch, KeywordsSearchRawLineAndValues) {
  auto escaped = MakeEvent({{"path", "C:\\temp\\evil.exe"}});
  escaped.set_raw("{\"path\":\"C:\\\\temp\\\\evil.exe\"}");
  const std::vector events = {escaped, MakeEvent({{"m", "Evil twin"}}), MakeEvent({{"m", "fine"}})};
  EXPECT_THAT(Rows("  k:\n    - evil\n    - nothing\n  condition: k", events), ElementsAre(0, 1));
  EXPECT_THAT(Rows("  k:\n    - '\\temp\\evil'\n  condition: k", events), ElementsAre(0));
  EXPECT_THAT(Rows("  k:\n    '|all':\n      - evil\n      - twin\n  condition: k", events),
              ElementsAre(1));
}

TEST(SigmaMatch, ConditionsCombineSelections) {
  const std::vector events = {MakeEvent({{"a", "1"}, {"b", "1"}}), MakeEvent({{"a", "1"}}),
                              MakeEvent({{"b", "1"}}), MakeEvent({{"c", "1"}})};
  const std::string selections =
      "  sel_a:\n    a: 1\n  sel_b:\n    b: 1\n  _hidden:\n    c: 1\n  condition: ";
  EXPECT_THAT(Rows(selections + "sel_a and sel_b", events), ElementsAre(0));
  EXPECT_THAT(Rows(selections + "sel_a and not sel_b", events), ElementsAre(1));
  EXPECT_THAT(Rows(selections + "1 of sel_*", events), ElementsAre(0, 1, 2));
  EXPECT_THAT(Rows(selections + "all of sel_*", events), ElementsAre(0));
  EXPECT_THAT(Rows(selections + "1 of them", events), ElementsAre(0, 1, 2));
  EXPECT_THAT(Rows(selections + "not 1 of them", events), ElementsAre(3));
  EXPECT_THAT(Rows(selections + "_hidden or (sel_a and sel_b)", events), ElementsAre(0, 3));
  // `and` binds tighter than `or`.
  EXPECT_THAT(Rows(selections + "sel_a or sel_b and _hidden", events), ElementsAre(0, 1));
}

TEST(SigmaMatch, WindashFindsEveryDash) {
  const std::vector events = {
      MakeEvent({{"c", "net.exe -all"}}), MakeEvent({{"c", "net.exe /all"}}),
      MakeEvent({{"c", "net.exe \u2013all"}}), MakeEvent({{"c", "net.exe all"}})};
  EXPECT_THAT(Rows("  s:\n    c|contains|windash: ' -all'\n  condition: s", events),
              ElementsAre(0, 1, 2));
}

TEST(SigmaMatch, EveryValueOfARepeatedFieldCounts) {
  const std::vector events = {MakeEvent({{"u", "x"}, {"u", "root"}}), MakeEvent({{"u", "x"}})};
  EXPECT_THAT(Rows("  s:\n    u: root\n  condition: s", events), ElementsAre(0));
}

TEST(SigmaMatch, FallsBackToTheCoreFieldOfAnAlias) {
  auto event = MakeEvent({{"x", "1"}});
  event.mutable_src()->set_ip(std::string("\x0a\x01\x02\x03", 4));
  EXPECT_THAT(Rows("  s:\n    src_ip|cidr: 10.0.0.0/8\n  condition: s", {event}), ElementsAre(0));
}

TEST(SigmaMatch, LogsourceDecidesWhichEventsAreLookedAt) {
  auto other = MakeEvent({{"a", "1"}});
  other.set_product("other.box");
  EXPECT_THAT(Rows("  s:\n    a: 1\n  condition: s", {other, MakeEvent({{"a", "1"}})}),
              ElementsAre(1));
  const std::string windows =
      "title: T\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001\n"
      "logsource:\n  product: windows\n  category: process_creation\n"
      "detection:\n  s:\n    Image|endswith: cmd.exe\n  condition: s\n";
  EXPECT_THAT(RowsOf(windows, {MakeEvent({{"Channel", "Microsoft-Windows-Sysmon/Operational"},
                                          {"EventID", "1"},
                                          {"Image", "cmd.exe"}}),
                               MakeEvent({{"Channel", "Microsoft-Windows-Sysmon/Operational"},
                                          {"EventID", "5"},
                                          {"Image", "cmd.exe"}})}),
              ElementsAre(0));
}

TEST(SigmaMatch, WorksOverMoreThanOneWordOfRows) {
  std::vector<event::v1::Event> events;
  for (int i = 0; i < 200; ++i) events.push_back(MakeEvent({{"n", std::to_string(i)}}));
  EXPECT_THAT(Rows("  s:\n    n: [0, 63, 64, 199]\n  condition: s", events),
              ElementsAre(0, 63, 64, 199));
  EXPECT_EQ(Rows("  s:\n    n: [0, 63, 64, 199]\n  condition: not s", events).size(), 196U);
}

TEST(RuleSet, TenantRulesApplyToTheirTenantAlone) {
  auto parsed =
      std::make_shared<const ParsedRule>(*ParseSigma(RuleWith("  s:\n    a: 1\n  condition: s")));
  BatchMatcher matcher(RuleSet::Build({{"globex", parsed}}));
  auto foreign = BatchOf({MakeEvent({{"a", "1"}})}, "acme");
  auto own = BatchOf({MakeEvent({{"a", "1"}})}, "globex");
  EXPECT_THAT(*matcher.Run(foreign), IsEmpty());
  EXPECT_EQ(matcher.Run(own)->size(), 1U);
}

TEST(RuleSet, VersionFollowsTheRulesNotTheirOrder) {
  const auto one =
      std::make_shared<const ParsedRule>(*ParseSigma(RuleWith("  s:\n    a: 1\n  condition: s")));
  const auto two =
      std::make_shared<const ParsedRule>(*ParseSigma(RuleWith("  s:\n    a: 2\n  condition: s")));
  EXPECT_EQ(RuleSet::Build({{"t1", one}, {"t2", two}})->version(),
            RuleSet::Build({{"t2", two}, {"t1", one}})->version());
  EXPECT_NE(RuleSet::Build({{"t1", one}})->version(), RuleSet::Build({{"t1", two}})->version());
}

TEST(RuleSet, SharedTestsAreOneTest) {
  const auto rule = std::make_shared<const ParsedRule>(
      *ParseSigma(RuleWith("  s:\n    a: 1\n  t:\n    a: [1, 2]\n  condition: s or t")));
  // a=1, a=2 and the three of the logsource.
  EXPECT_EQ(RuleSet::Build({{"", rule}})->atom_count(), 5U);
}

}  // namespace
}  // namespace yagura::detection
