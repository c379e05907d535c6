#include "services/ticketing/domain/grouping.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"

namespace yagura::ticketing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr TimePoint kNow = std::chrono::sys_days(std::chrono::year(2026) / 1 / 5);

detection::v1::Finding FindingOf(const std::string& id, const std::string& key,
                                 event::v1::Severity severity = event::v1::MEDIUM) {
  detection::v1::Finding finding;
  finding.set_name("tenants/acme/findings/" + id);
  finding.set_dedup_key(key);
  finding.set_title("Many denied connections");
  finding.set_severity(severity);
  finding.set_event_count(2);
  for (int i = 0; i < 2; ++i) {
    auto& evidence = *finding.add_evidence();
    evidence.set_event_id(id + "-" + std::to_string(i));
    evidence.set_raw("srcip=192.0.2.1 line " + std::to_string(i));
    *evidence.mutable_event_time() = ToProto(kNow);
    *evidence.mutable_receive_time() = ToProto(kNow);
  }
  return finding;
}

TEST(TicketGrouping, OneTicketForWhatBelongsTogether) {
  v1::Ticket ticket = OpenTicket("acme", FindingOf("a", "k"), 1, kNow, {});
  EXPECT_EQ(Place(ticket, FindingOf("a", "k")), Placement::kKnown);
  EXPECT_EQ(Place(ticket, FindingOf("b", "k")), Placement::kJoins);
  for (const v1::TicketState state : {v1::IN_PROGRESS, v1::WAITING_FOR_CUSTOMER}) {
    ticket.set_state(state);
    EXPECT_EQ(Place(ticket, FindingOf("b", "k")), Placement::kJoins);
  }
  for (const v1::TicketState state : {v1::RESOLVED, v1::CLOSED}) {
    ticket.set_state(state);
    EXPECT_EQ(Place(ticket, FindingOf("b", "k")), Placement::kOpensNext);
    EXPECT_EQ(Place(ticket, FindingOf("a", "k")), Placement::kKnown);
  }
}

TEST(TicketGrouping, TheNextTicketOfAMatterNamesTheOneBefore) {
  const v1::Ticket first = OpenTicket("acme", FindingOf("a", "k"), 1, kNow, {});
  const v1::Ticket second = OpenTicket("acme", FindingOf("b", "k"), 2, kNow, {});
  EXPECT_EQ(first.previous_ticket(), "");
  EXPECT_EQ(second.previous_ticket(), first.name());
  EXPECT_NE(second.name(), first.name());
}

TEST(TicketGrouping, ATicketCarriesTheEvidenceOfItsFindings) {
  v1::Ticket ticket = OpenTicket("acme", FindingOf("a", "k"), 1, kNow, {});
  Join(ticket, FindingOf("b", "k"), {});
  ASSERT_EQ(ticket.evidence_size(), 4);
  EXPECT_EQ(ticket.evidence(0).event_id(), "a-0");
  EXPECT_EQ(ticket.evidence(0).finding(), "tenants/acme/findings/a");
  EXPECT_EQ(ticket.evidence(3).event_id(), "b-1");
  EXPECT_EQ(ticket.evidence(3).raw(), "srcip=192.0.2.1 line 1");
  EXPECT_EQ(ticket.event_count(), 4u);
  EXPECT_EQ(ticket.finding_count(), 2u);
}

detection::v1::Finding Judged(const std::string& id, detection::v1::ImpactLevel level) {
  auto finding = FindingOf(id, "k", event::v1::HIGH);
  finding.mutable_impact()->set_level(level);
  finding.mutable_impact()->add_reasons("Because of \x1b it.");
  auto& texts = *finding.mutable_advice()->add_texts();
  texts.set_language("ja");
  texts.set_title("題");
  texts.set_cause("理由");
  texts.set_countermeasure("拒否");
  return finding;
}

TEST(TicketGrouping, ATicketSaysWhatItMeansAndWhatToDo) {
  const v1::Ticket ticket = OpenTicket("acme", Judged("a", detection::v1::EXPOSED), 1, kNow, {});
  EXPECT_THAT(ticket.description(), HasSubstr("Impact: EXPOSED\n- Because of \\x1b it.\n"));
  EXPECT_THAT(ticket.description(), HasSubstr("題\n\n原因:\n理由\n\n対策:\n拒否\n"));
  EXPECT_EQ(ticket.impact().level(), detection::v1::EXPOSED);
  EXPECT_EQ(ticket.advice().countermeasure(), "拒否");
  EXPECT_EQ(ticket.priority(), v1::P2);
}

TEST(TicketGrouping, WhatWasBlockedWaitsUntilOneComesThrough) {
  v1::Ticket ticket = OpenTicket("acme", Judged("a", detection::v1::BLOCKED), 1, kNow, {});
  EXPECT_EQ(ticket.priority(), v1::P3);
  Join(ticket, Judged("b", detection::v1::BLOCKED), {});
  EXPECT_EQ(ticket.priority(), v1::P3);
  Join(ticket, Judged("c", detection::v1::VULNERABLE), {});
  EXPECT_EQ(ticket.priority(), v1::P2);
  EXPECT_EQ(ticket.impact().level(), detection::v1::VULNERABLE);
  // What a person has set since stays.
  ticket.set_priority(v1::P4);
  Join(ticket, Judged("d", detection::v1::VULNERABLE), {});
  EXPECT_EQ(ticket.priority(), v1::P4);
  EXPECT_EQ(ticket.impact().level(), detection::v1::VULNERABLE);
}

TEST(TicketGrouping, EvidenceIsBoundedAndWithoutRepeats) {
  v1::Ticket ticket = OpenTicket("acme", FindingOf("f0", "k"), 1, kNow, {});
  auto repeat = FindingOf("f0", "k");
  repeat.set_name("tenants/acme/findings/other");
  Join(ticket, repeat, {});
  EXPECT_EQ(ticket.evidence_size(), 2);
  for (int i = 1; i < 300; ++i) Join(ticket, FindingOf("f" + std::to_string(i), "k"), {});
  EXPECT_EQ(ticket.evidence_size(), kMaxEvidence);
  EXPECT_EQ(ticket.findings_size(), kRememberedFindings);
  EXPECT_EQ(ticket.finding_count(), 301u);
}

TEST(TicketGrouping, SeverityGivesThePriorityAndAGraverFindingRaisesIt) {
  const Deadlines deadlines;
  v1::Ticket ticket = OpenTicket("acme", FindingOf("a", "k"), 1, kNow, deadlines);
  EXPECT_EQ(ticket.priority(), v1::P3);
  EXPECT_EQ(FromProto(ticket.due_time()), kNow + deadlines.p3_resolution);
  Join(ticket, FindingOf("b", "k", event::v1::CRITICAL), deadlines);
  EXPECT_EQ(ticket.priority(), v1::P1);
  EXPECT_EQ(ticket.severity(), event::v1::CRITICAL);
  EXPECT_EQ(FromProto(ticket.due_time()), kNow + deadlines.p1_resolution);
  Join(ticket, FindingOf("c", "k", event::v1::LOW), deadlines);
  EXPECT_EQ(ticket.priority(), v1::P1);
}

TEST(TicketGrouping, APersonsHigherPriorityIsKept) {
  v1::Ticket ticket = OpenTicket("acme", FindingOf("a", "k"), 1, kNow, {});
  ticket.set_priority(v1::P1);
  Join(ticket, FindingOf("b", "k", event::v1::HIGH), {});
  EXPECT_EQ(ticket.priority(), v1::P1);
}

TEST(TicketGrouping, LongTextsAreCutBetweenCharacters) {
  auto finding = FindingOf("f1", "k");
  std::string title = "a";
  for (int i = 0; i < 100; ++i) title += "櫓";  // one byte too many
  finding.set_title(title);
  EXPECT_EQ(OpenTicket("acme", finding, 1, kNow, {}).title(), title.substr(0, 1 + 99 * 3));
}

TEST(TicketGrouping, HostileTextsBecomeOneLine) {
  auto finding = FindingOf("a", "k");
  finding.set_title("title\x1b[2J\r\nsecond" + std::string(500, 'x'));
  auto& entity = *finding.add_entities();
  entity.set_role("source");
  entity.set_value("192.0.2.1\nforged: line");
  const v1::Ticket ticket = OpenTicket("acme", finding, 1, kNow, {});
  EXPECT_THAT(ticket.title(), Not(HasSubstr("\n")));
  EXPECT_LE(ticket.title().size(), 300u);
  EXPECT_THAT(ticket.description(), HasSubstr("source: 192.0.2.1\\x0aforged: line\n"));
}

}  // namespace
}  // namespace yagura::ticketing
