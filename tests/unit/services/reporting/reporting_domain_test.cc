#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "services/reporting/domain/content.h"
#include "services/reporting/domain/html.h"
#include "services/reporting/domain/month.h"

namespace yagura::reporting {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ParseMonth, CutsTheMonthInTheTenantsTimeZone) {
  const auto month = ParseMonth("2026-10", "Asia/Tokyo");
  ASSERT_TRUE(month.ok());
  EXPECT_EQ(FormatTime(month->start), "2026-09-30T15:00:00Z");
  EXPECT_EQ(FormatTime(month->end), "2026-10-31T15:00:00Z");
}

TEST(ParseMonth, FollowsSummerTime) {
  const auto month = ParseMonth("2026-03", "Europe/Berlin");
  ASSERT_TRUE(month.ok());
  EXPECT_EQ(FormatTime(month->start), "2026-02-28T23:00:00Z");
  EXPECT_EQ(FormatTime(month->end), "2026-03-31T22:00:00Z");
}

TEST(ParseMonth, RefusesWhatIsNoMonthAndNoZone) {
  for (const char* text : {"", "2026", "2026-13", "2026-00", "2026/10", "1999-12", "2026-1", "x"}) {
    EXPECT_EQ(ParseMonth(text, "Asia/Tokyo").status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
  EXPECT_EQ(ErrorReason(ParseMonth("2026-10", "Mars/Base").status()), "UNKNOWN_TIME_ZONE");
}

TEST(MonthBefore, GoesBackOverTheYear) {
  const auto before = MonthBefore(*ParseMonth("2026-01", "Asia/Tokyo"));
  ASSERT_TRUE(before.ok());
  EXPECT_EQ(before->text, "2025-12");
}

void AddGroup(archive::v1::CountEventsResponse& response, const std::string& value,
              uint64_t count) {
  auto& group = *response.add_groups();
  group.add_values(value);
  group.set_count(count);
  response.set_total(response.total() + count);
}

Evidence SomeEvidence() {
  Evidence evidence;
  evidence.tenant.set_name("tenants/acme");
  evidence.tenant.set_display_name("Acme <b>K.K.</b>");
  evidence.month = *ParseMonth("2026-10", "Asia/Tokyo");
  AddGroup(evidence.current.by_action, "ALLOWED", 70);
  AddGroup(evidence.current.by_action, "BLOCKED", 90);
  AddGroup(evidence.previous.by_action, "ALLOWED", 100);
  AddGroup(evidence.previous.by_action, "DETECTED", 3);
  AddGroup(evidence.current.by_signature, "<script>alert(1)</script>", 9);
  AddGroup(evidence.previous.by_signature, "<script>alert(1)</script>", 4);
  AddGroup(evidence.current.by_severity, "LOW", 150);
  AddGroup(evidence.current.by_severity, "CRITICAL", 10);
  for (const auto severity : {event::v1::LOW, event::v1::CRITICAL}) {
    auto& finding = evidence.current.findings.emplace_back();
    finding.set_title(event::v1::Severity_Name(severity) + " finding");
    finding.set_severity(severity);
    finding.set_event_count(2);
  }
  auto& source = *evidence.coverage.add_sources();
  source.set_device("fw-1");
  source.set_event_count(160);
  source.set_hours_with_events(12);
  source.set_flawed_count(1);
  return evidence;
}

TEST(MakeContent, AddsUpWithTheEvidenceAndComparesWithTheMonthBefore) {
  const auto evidence = SomeEvidence();
  const auto content = MakeContent(evidence, evidence.month.end + std::chrono::hours(1));
  EXPECT_EQ(content.events().count(), 160u);
  EXPECT_EQ(content.events().previous_count(), 103u);
  ASSERT_EQ(content.events_by_action_size(), 3);  // also what was seen only in the month before
  EXPECT_EQ(content.events_by_action(0).label(), "BLOCKED");
  EXPECT_EQ(content.events_by_action(2).label(), "DETECTED");
  EXPECT_EQ(content.events_by_action(2).previous_count(), 3u);
  EXPECT_EQ(content.top_signatures(0).previous_count(), 4u);
  EXPECT_EQ(content.events_by_severity(0).label(), "CRITICAL");
  EXPECT_EQ(content.findings().count(), 2u);
  EXPECT_EQ(content.finding_rows(0).severity(), "CRITICAL");
  EXPECT_EQ(content.coverage().hours_in_month(), 744u);
  EXPECT_EQ(content.coverage().flawed_events(), 1u);
  EXPECT_FALSE(content.preliminary());
}

TEST(MakeContent, CountsOnlyTheHoursThatAreOver) {
  const auto evidence = SomeEvidence();
  const auto content = MakeContent(evidence, evidence.month.start + std::chrono::minutes(90));
  EXPECT_TRUE(content.preliminary());
  EXPECT_EQ(content.coverage().hours_in_month(), 2u);
}

TEST(MakeContent, NamesWhoApprovedAChangeNotAResource) {
  auto evidence = SomeEvidence();
  for (const char* who : {"tenants/provider/users/alice", "tenants/acme/apiKeys/robot", "x"}) {
    evidence.finished_changes.emplace_back().set_approver(who);
  }
  const auto content = MakeContent(evidence, evidence.month.end);
  ASSERT_EQ(content.change_rows_size(), 3);
  EXPECT_EQ(content.change_rows(0).approver(), "alice");
  EXPECT_EQ(content.change_rows(1).approver(), "robot (API key)");
  EXPECT_EQ(content.change_rows(2).approver(), "x");
}

TEST(MakeContent, TellsOfLossesAndOfSourcesThatSentNothing) {
  auto evidence = SomeEvidence();
  auto& sending = evidence.intake.emplace_back();
  sending.set_source("fw-1-syslog");
  sending.set_device("fw-1");
  sending.set_lost_count(3);
  sending.set_kernel_drop_count(4);
  sending.set_silent_minutes(61);
  auto& mute = evidence.intake.emplace_back();
  mute.set_source("fw-2-syslog");
  mute.set_silent_minutes(44'640);
  mute.set_unwatched_minutes(5);
  const auto content = MakeContent(evidence, evidence.month.end);
  EXPECT_EQ(content.coverage().lost_lines(), 7u);
  ASSERT_EQ(content.coverage().sources_size(), 2);
  EXPECT_EQ(content.coverage().sources(0).device(), "fw-2-syslog");
  EXPECT_EQ(content.coverage().sources(0).event_count(), 0u);
  EXPECT_EQ(content.coverage().sources(0).silent_minutes(), 44'640u);
  EXPECT_EQ(content.coverage().sources(1).event_count(), 160u);
  EXPECT_EQ(content.coverage().sources(1).lost_lines(), 7u);
  const std::string html = RenderHtml(content, "en");
  EXPECT_THAT(html, HasSubstr("744:00"));
  EXPECT_THAT(html, HasSubstr("1:01"));
  EXPECT_THAT(html, HasSubstr("7 lines were lost"));
}

TEST(MakeContent, NamesTenSignaturesAtMost) {
  auto evidence = SomeEvidence();
  for (int i = 0; i < 20; ++i) AddGroup(evidence.current.by_signature, std::to_string(i), 1);
  EXPECT_EQ(MakeContent(evidence, evidence.month.end).top_signatures_size(), 10);
}

TEST(RenderHtml, EscapesWhatLogsAndPeopleWroteAndNeedsNothingFromOutside) {
  const auto evidence = SomeEvidence();
  for (const char* language : {"en", "ja"}) {
    const std::string html = RenderHtml(MakeContent(evidence, evidence.month.end), language);
    EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(1)&lt;/script&gt;"));
    EXPECT_THAT(html, HasSubstr("Acme &lt;b&gt;K.K.&lt;/b&gt;"));
    EXPECT_THAT(html, Not(HasSubstr("<script")));
    EXPECT_THAT(html, Not(HasSubstr("http://")));
    EXPECT_THAT(html, Not(HasSubstr("https://")));
    EXPECT_THAT(html, HasSubstr("fw-1"));
    EXPECT_THAT(html, HasSubstr("12 / 744"));
  }
}

TEST(RenderHtml, SpeaksTheTenantsLanguage) {
  const auto content = MakeContent(SomeEvidence(), SomeEvidence().month.end);
  EXPECT_THAT(RenderHtml(content, "ja"), HasSubstr("月次セキュリティ報告書"));
  EXPECT_THAT(RenderHtml(content, "en"), HasSubstr("Monthly security report"));
}

}  // namespace
}  // namespace yagura::reporting
