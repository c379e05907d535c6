// Whether rules can match with the logs that came.
#include "services/detection/domain/rule_reach.h"

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/status_matchers.h"

namespace yagura::detection {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using yagura::testing::IsOk;

ParsedRule Rule(const std::string& logsource, const std::string& detection) {
  auto parsed =
      ParseSigma(fmt::format("title: t\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001\nlevel: high\n"
                             "tags: [attack.t1059.001]\nlogsource:\n{}detection:\n{}",
                             logsource, detection));
  EXPECT_THAT(parsed, IsOk());
  return *std::move(parsed);
}

constexpr char kProcess[] = "  product: windows\n  category: process_creation\n";
const std::string kProcessKey = "product: windows, category: process_creation";

v1::RuleCoverage Cover(const std::string& detection, std::set<std::string> fields,
                       uint64_t events = 10) {
  return CoverageOf(Rule(kProcess, detection), {{kProcessKey, {events, true, std::move(fields)}}});
}

TEST(RuleReach, ShapesTellWhatALogsourceIs) {
  const auto process = Rule(kProcess, "  s:\n    a: 1\n  condition: s\n");
  const auto& test = process.rules.front().logsource_test;
  EXPECT_EQ(IsOf(test, {"microsoft.windows", "", "Microsoft-Windows-Sysmon/Operational", "1", 1}),
            Truth::kTrue);
  EXPECT_EQ(IsOf(test, {"microsoft.windows", "", "Security", "4688", 1}), Truth::kTrue);
  EXPECT_EQ(IsOf(test, {"microsoft.windows", "", "Security", "4624", 1}), Truth::kFalse);
  EXPECT_EQ(IsOf(test, {"fortinet.fortigate", "traffic", "", "13", 1}), Truth::kFalse);
  const auto firewall = Rule("  category: firewall\n", "  s:\n    a: 1\n  condition: s\n");
  EXPECT_EQ(
      IsOf(firewall.rules.front().logsource_test, {"fortinet.fortigate", "traffic", "", "", 1}),
      Truth::kTrue);
  // By the program that logged, which shapes do not tell.
  const auto cron = Rule("  product: linux\n  service: cron\n", "  s:\n    a: 1\n  condition: s\n");
  EXPECT_EQ(IsOf(cron.rules.front().logsource_test, {"generic.syslog", "", "", "", 1}),
            Truth::kUnknown);
}

TEST(RuleReach, WithoutEventsOfItsLogsourceNothingMatches) {
  const auto coverage = Cover("  s:\n    Image: x\n  condition: s\n", {}, 0);
  EXPECT_EQ(coverage.level(), v1::NO_SOURCE);
  EXPECT_THAT(coverage.reasons(), ElementsAre(HasSubstr(kProcessKey)));
  EXPECT_THAT(coverage.attack_techniques(), ElementsAre("T1059.001"));
}

TEST(RuleReach, WithoutTheFieldsThatItNeedsNeither) {
  const std::string both = "  s:\n    Image: x\n    CommandLine: y\n  condition: s\n";
  EXPECT_EQ(Cover(both, {"Image", "CommandLine"}).level(), v1::COVERED);
  const auto coverage = Cover(both, {"Image"});
  EXPECT_EQ(coverage.level(), v1::PARTLY_COVERED);
  EXPECT_THAT(coverage.missing_fields(), ElementsAre("CommandLine"));
  EXPECT_THAT(coverage.reasons(), ElementsAre(HasSubstr("none had CommandLine")));
}

TEST(RuleReach, FieldsThatItCanDoWithoutDoNotMatter) {
  const std::string either = "  a:\n    Image: x\n  b:\n    CommandLine: y\n  condition: a or b\n";
  EXPECT_EQ(Cover(either, {"Image"}).level(), v1::COVERED);
  EXPECT_THAT(Cover(either, {"Image"}).missing_fields(), ElementsAre("CommandLine"));
  EXPECT_EQ(Cover(either, {}).level(), v1::PARTLY_COVERED);
  const std::string unless = "  a:\n    Image: x\n  b:\n    User: y\n  condition: a and not b\n";
  EXPECT_EQ(Cover(unless, {"Image"}).level(), v1::COVERED);
  const std::string null = "  a:\n    Image: null\n  condition: a\n";
  EXPECT_EQ(Cover(null, {}).level(), v1::COVERED);
  EXPECT_EQ(Cover("  a:\n    - word\n  condition: a\n", {}).level(), v1::COVERED);
}

// Our own rules name their log source by value.
TEST(RuleReach, ARuleThatAsksForAnotherProductIsNotCovered) {
  const std::string restarted =
      "  a:\n    '@product': fortinet.fortigate\n    vendor_event_id|endswith: '032009'\n"
      "  b:\n    '@product': paloalto.panos\n    '@category': system\n"
      "    message|contains: restart\n  condition: 1 of *\n";
  const auto cover =
      [](const std::string& detection, std::set<EventKind> kinds,
         std::set<std::string> fields = {"vendor_event_id", "message", "@product", "@category"}) {
        return CoverageOf(Rule("  service: syslog\n", detection),
                          {{"service: syslog", {10, true, std::move(fields), std::move(kinds)}}});
      };
  const auto windows = cover(restarted, {{"microsoft.windows", ""}, {"cisco.asa", "system"}});
  EXPECT_EQ(windows.level(), v1::NO_SOURCE);
  EXPECT_THAT(windows.reasons(), ElementsAre(HasSubstr("none of a product that it asks for")));
  EXPECT_EQ(cover(restarted, {{"microsoft.windows", ""}, {"fortinet.fortigate", "event"}}).level(),
            v1::COVERED);
  EXPECT_EQ(cover(restarted, {{"Fortinet.FortiGate", "event"}}).level(), v1::COVERED);
  EXPECT_EQ(cover(restarted, {{"paloalto.panos", "system"}}).level(), v1::COVERED);
  const auto traffic = cover(restarted, {{"paloalto.panos", "traffic"}, {"cisco.asa", "system"}});
  EXPECT_EQ(traffic.level(), v1::PARTLY_COVERED);
  EXPECT_THAT(traffic.reasons(), ElementsAre(HasSubstr("product and category")));
  // The product came, the field did not.
  EXPECT_EQ(
      cover(restarted, {{"paloalto.panos", "system"}}, {"vendor_event_id", "@product", "@category"})
          .level(),
      v1::PARTLY_COVERED);
  // Not known, not asked for, or by exclusion.
  EXPECT_EQ(cover(restarted, {}).level(), v1::COVERED);
  const std::string other =
      "  s:\n    message: x\n  f:\n    '@product': cisco.*\n"
      "  condition: s and not f\n";
  EXPECT_EQ(cover(other, {{"microsoft.windows", ""}}).level(), v1::COVERED);
  EXPECT_EQ(cover(other, {{"cisco.asa", ""}}).level(), v1::NO_SOURCE);
}

TEST(RuleReach, WhatWasNotLookedAtMayBeThere) {
  const auto coverage = CoverageOf(Rule(kProcess, "  s:\n    Image: x\n  condition: s\n"),
                                   {{kProcessKey, {10, false, {}}}});
  EXPECT_EQ(coverage.level(), v1::COVERED);
  EXPECT_THAT(coverage.reasons(), ElementsAre(HasSubstr("not looked at")));
}

TEST(RuleReach, ATemporalCorrelationNeedsAllItsRulesOthersOne) {
  const auto level = [](const std::string& type, const std::string& condition) {
    const auto parsed = ParseSigma(fmt::format(
        "title: c\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002\nlevel: high\ncorrelation:\n"
        "  type: {}\n  rules: [one, two]\n  group-by: [User]\n  timespan: 1m\n{}"
        "---\ntitle: One\nname: one\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c003\nlogsource:\n"
        "  product: windows\n  service: security\ndetection:\n  s:\n    EventID: 4625\n"
        "  condition: s\n"
        "---\ntitle: Two\nname: two\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c004\nlogsource:\n"
        "  product: windows\n  service: system\ndetection:\n  s:\n    EventID: 7045\n"
        "  condition: s\n",
        type, condition));
    EXPECT_THAT(parsed, IsOk());
    return CoverageOf(*parsed, {{"product: windows, service: security", {5, true, {"EventID"}}},
                                {"product: windows, service: system", {0, true, {}}}})
        .level();
  };
  EXPECT_EQ(level("temporal", ""), v1::NO_SOURCE);
  EXPECT_EQ(level("event_count", "  condition:\n    gte: 3\n"), v1::COVERED);
}

TEST(RuleReach, TechniquesAddUp) {
  v1::RuleCoverage covered;
  covered.set_level(v1::COVERED);
  covered.add_attack_techniques("T1110");
  v1::RuleCoverage none;
  none.set_level(v1::NO_SOURCE);
  none.add_attack_techniques("T1110");
  none.add_attack_techniques("T1059");
  v1::RuleCoverage untagged;
  untagged.set_level(v1::PARTLY_COVERED);
  const auto techniques = ByTechnique({covered, none, untagged});
  ASSERT_THAT(techniques, SizeIs(3));
  EXPECT_THAT(techniques[0].technique(), IsEmpty());
  EXPECT_EQ(techniques[1].technique(), "T1059");
  EXPECT_EQ(techniques[1].level(), v1::NO_SOURCE);
  EXPECT_EQ(techniques[2].level(), v1::COVERED);
  EXPECT_EQ(techniques[2].rule_count(), 2u);
  EXPECT_EQ(techniques[2].covered_count(), 1u);
  EXPECT_EQ(techniques[2].no_source_count(), 1u);
}

}  // namespace
}  // namespace yagura::detection
