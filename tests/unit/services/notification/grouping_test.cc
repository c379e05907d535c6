#include "services/notification/domain/grouping.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/text/printable.h"
#include "common/text/text.h"

namespace yagura::notification {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr TimePoint kStart = std::chrono::sys_days(std::chrono::year(2026) / 1 / 5);

detection::v1::Finding FindingOf(const std::string& id, const std::string& key,
                                 TimePoint made = kStart) {
  detection::v1::Finding finding;
  finding.set_name("tenants/acme/findings/" + id);
  finding.set_dedup_key(key);
  finding.set_title("Many denied connections");
  finding.set_severity(event::v1::MEDIUM);
  finding.set_event_count(3);
  *finding.mutable_create_time() = ToProto(made);
  *finding.mutable_first_event_time() = ToProto(made - std::chrono::minutes(2));
  *finding.mutable_last_event_time() = ToProto(made - std::chrono::minutes(1));
  return finding;
}

TEST(Grouping, FindingsWithTheSameKeyAreOneMatterAndOthersAreNot) {
  EXPECT_EQ(GroupKey(FindingOf("a", "k")), GroupKey(FindingOf("b", "k")));
  EXPECT_NE(GroupKey(FindingOf("a", "k")), GroupKey(FindingOf("a", "l")));
  EXPECT_NE(GroupKey(FindingOf("a", "")), GroupKey(FindingOf("b", "")));
}

TEST(Grouping, TheIdOfAnAlertIsTheSameEveryTimeAndAValidId) {
  const v1::Alert alert = OpenAlert("acme", FindingOf("a", "k"), 2);
  EXPECT_EQ(alert.name(), OpenAlert("acme", FindingOf("z", "k"), 2).name());
  EXPECT_NE(alert.name(), OpenAlert("acme", FindingOf("a", "k"), 3).name());
  EXPECT_THAT(alert.name(), ::testing::MatchesRegex("tenants/acme/alerts/[0-9a-f]{24}-2"));
}

TEST(Grouping, AnAlertHasTheGravestImpactAndTheFirstAdvice) {
  auto finding = FindingOf("a", "k");
  finding.mutable_impact()->set_level(detection::v1::BLOCKED);
  finding.mutable_advice()->add_texts()->set_cause("first");
  v1::Alert alert = OpenAlert("acme", finding, 1);
  EXPECT_EQ(alert.impact().level(), detection::v1::BLOCKED);
  EXPECT_EQ(alert.advice().cause(), "first");
  auto next = FindingOf("b", "k");
  next.mutable_impact()->set_level(detection::v1::EXPOSED);
  Join(alert, next);
  EXPECT_EQ(alert.impact().level(), detection::v1::EXPOSED);
  Join(alert, FindingOf("c", "k"));
  EXPECT_EQ(alert.impact().level(), detection::v1::EXPOSED);
  next.mutable_impact()->set_level(detection::v1::VULNERABLE);
  Grow(alert, next);
  EXPECT_EQ(alert.impact().level(), detection::v1::VULNERABLE);
}

TEST(Grouping, AFindingThatComesTwiceIsKnown) {
  const auto finding = FindingOf("a", "k");
  v1::Alert alert = OpenAlert("acme", finding, 1);
  EXPECT_EQ(Place(alert, finding, std::chrono::hours(24)), Placement::kKnown);
  alert.set_state(v1::RESOLVED);
  EXPECT_EQ(Place(alert, finding, std::chrono::hours(24)), Placement::kKnown);
}

TEST(Grouping, AnotherFindingJoinsUntilTheAlertIsOverOrTooLongAgo) {
  v1::Alert alert = OpenAlert("acme", FindingOf("a", "k"), 1);
  const auto soon = FindingOf("b", "k", kStart + std::chrono::hours(23));
  const auto late = FindingOf("c", "k", kStart + std::chrono::hours(25));
  EXPECT_EQ(Place(alert, soon, std::chrono::hours(24)), Placement::kJoins);
  EXPECT_EQ(Place(alert, late, std::chrono::hours(24)), Placement::kOpensNext);
  EXPECT_EQ(Place(alert, late, std::chrono::seconds(0)), Placement::kJoins);
  alert.set_state(v1::ACKNOWLEDGED);
  EXPECT_EQ(Place(alert, soon, std::chrono::hours(24)), Placement::kJoins);
  alert.set_state(v1::RESOLVED);
  EXPECT_EQ(Place(alert, soon, std::chrono::hours(24)), Placement::kOpensNext);
}

TEST(Grouping, JoiningWidensTheAlertAndKeepsTheGravestSeverity) {
  v1::Alert alert = OpenAlert("acme", FindingOf("a", "k"), 1);
  auto graver = FindingOf("b", "k", kStart + std::chrono::minutes(30));
  graver.set_severity(event::v1::CRITICAL);
  auto milder = FindingOf("c", "k", kStart + std::chrono::minutes(20));
  milder.set_severity(event::v1::LOW);
  Join(alert, graver);
  Join(alert, milder);
  EXPECT_EQ(alert.severity(), event::v1::CRITICAL);
  EXPECT_EQ(alert.finding_count(), 3u);
  EXPECT_EQ(alert.event_count(), 9u);
  EXPECT_EQ(FromProto(alert.first_event_time()), kStart - std::chrono::minutes(2));
  EXPECT_EQ(FromProto(alert.last_event_time()), kStart + std::chrono::minutes(29));
  EXPECT_EQ(FromProto(alert.last_finding_time()), kStart + std::chrono::minutes(30));
}

TEST(Grouping, AFindingThatGrowsIsCountedOnce) {
  v1::Alert alert = OpenAlert("acme", FindingOf("f1", "k"), 1);
  const uint64_t before = alert.event_count();
  auto grown = FindingOf("f1", "k");
  grown.set_event_count(before + 40);
  grown.mutable_last_event_time()->set_seconds(2'000'000'000);
  for (int i = 0; i < 2; ++i) Grow(alert, grown);
  auto late = grown;
  late.set_event_count(before + 20);
  Grow(alert, late);
  EXPECT_EQ(alert.event_count(), before + 40);
  EXPECT_EQ(alert.finding_count(), 1u);
  EXPECT_EQ(alert.last_event_time().seconds(), 2'000'000'000);
  // An alert of a release that did not keep the counts.
  alert.clear_finding_event_counts();
  grown.set_event_count(before + 100);
  Grow(alert, grown);
  EXPECT_EQ(alert.event_count(), before + 40);
  Join(alert, FindingOf("f2", "k"));
  EXPECT_EQ(alert.finding_event_counts_size(), alert.findings_size());
}

TEST(Grouping, RemembersTheLatestFindingsAndCountsAll) {
  v1::Alert alert = OpenAlert("acme", FindingOf("f0", "k"), 1);
  for (int i = 1; i < 300; ++i) Join(alert, FindingOf("f" + std::to_string(i), "k"));
  EXPECT_EQ(alert.finding_count(), 300u);
  ASSERT_EQ(alert.findings_size(), kRememberedFindings);
  EXPECT_EQ(*alert.findings().rbegin(), "tenants/acme/findings/f299");
}

TEST(Grouping, WhatADeviceSentIsMadePrintableAndCut) {
  auto finding = FindingOf("a", "k");
  finding.add_evidence()->set_raw("line\x1b[2J\r\nBcc: x@y \xff" + std::string(5000, 'x'));
  auto& entity = *finding.add_entities();
  entity.set_type(detection::v1::IP_ADDRESS);
  entity.set_role("source");
  entity.set_value("192.0.2.1\n");
  const v1::Alert alert = OpenAlert("acme", finding, 1);
  ASSERT_EQ(alert.sample_lines_size(), 1);
  EXPECT_LE(alert.sample_lines(0).size(), 500u);
  EXPECT_THAT(alert.sample_lines(0), Not(HasSubstr("\n")));
  EXPECT_THAT(alert.sample_lines(0), HasSubstr("\\x0d\\x0aBcc: x@y \\xff"));
  EXPECT_THAT(alert.entities(), ElementsAre("source address 192.0.2.1\\x0a"));
}

TEST(Printable, CutsBetweenCharactersAndShowsWhatHidesText) {
  EXPECT_EQ(Printable("plain", 5), "plain");
  EXPECT_EQ(Printable("plains", 5), "pl...");
  EXPECT_EQ(Printable("櫓櫓櫓", 8), "櫓...");
  EXPECT_EQ(Printable("a\u202eb", 40), "a\\xe2\\x80\\xaeb");
  EXPECT_TRUE(IsValidUtf8(Printable(std::string(100, '\xe6'), 50)));
  EXPECT_LE(Printable(std::string(100, '\x01'), 50).size(), 50u);
}

}  // namespace
}  // namespace yagura::notification
