#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "services/ticketing/workers/finding_handler.h"
#include "tests/unit/services/ticketing/world.h"

namespace yagura::ticketing {
namespace {

using testing::IsOk;

class FindingsRedisTest : public WorldTest {
 protected:
  std::vector<v1::Ticket> Tickets(const std::string& tenant) const {
    store::ListQuery query;
    query.parent = "tenants/" + tenant;
    query.order_by = "create_time";
    query.page_size = 1000;
    auto page = stores_.tickets.List(query);
    return page.ok() ? page->items : std::vector<v1::Ticket>();
  }
  void SetState(const std::string& name, v1::TicketState state) {
    ASSERT_THAT(stores_.tickets.Mutate({}, name,
                                       [state](v1::Ticket& ticket) {
                                         ticket.set_state(state);
                                         return absl::OkStatus();
                                       }),
                IsOk());
  }
  FindingHandler handler_{stores_, SystemClock(), {}};
};

TEST_F(FindingsRedisTest, FindingsOfOneMatterShareATicketWithTheirEvidence) {
  ASSERT_THAT(handler_.Handle(FindingOf("acme", "f1", "k")), IsOk());
  ASSERT_THAT(handler_.Handle(FindingOf("acme", "f2", "k")), IsOk());
  ASSERT_THAT(handler_.Handle(FindingOf("acme", "f3", "other")), IsOk());
  const auto tickets = Tickets("acme");
  ASSERT_EQ(tickets.size(), 2u);
  EXPECT_EQ(tickets[0].findings_size(), 2);
  ASSERT_EQ(tickets[0].evidence_size(), 2);
  EXPECT_EQ(tickets[0].evidence(0).event_id(), "event-f1");
  EXPECT_EQ(tickets[0].evidence(0).raw(), "srcip=192.0.2.1");
  EXPECT_EQ(tickets[0].priority(), v1::P2);
  EXPECT_NE(tickets[0].number(), tickets[1].number());
}

TEST_F(FindingsRedisTest, AFindingThatComesAgainChangesNothing) {
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(handler_.Handle(FindingOf("acme", "f1", "k")), IsOk());
  }
  ASSERT_EQ(Tickets("acme").size(), 1u);
  const v1::Ticket ticket = Tickets("acme")[0];
  EXPECT_EQ(ticket.finding_count(), 1u);
  SetState(ticket.name(), v1::CLOSED);
  ASSERT_THAT(handler_.Handle(FindingOf("acme", "f1", "k")), IsOk());
  EXPECT_EQ(Tickets("acme").size(), 1u);
}

TEST_F(FindingsRedisTest, AFindingThatGrowsIsCountedOnceWithItsEvidence) {
  detection::v1::Finding finding = FindingOf("acme", "f1", "k");
  finding.set_event_count(3);
  ASSERT_THAT(handler_.Handle(finding), IsOk());
  ASSERT_THAT(handler_.Handle(FindingOf("acme", "f2", "k")), IsOk());
  detection::v1::Finding grown = finding;
  grown.set_event_count(10);
  *grown.mutable_last_event_time() = ToProto(SystemClock()->Now());
  grown.add_evidence()->set_event_id("event-later");
  for (int i = 0; i < 3; ++i) ASSERT_THAT(handler_.HandleGrowth(grown), IsOk());
  detection::v1::Finding late = finding;  // told before, comes after
  late.set_event_count(6);
  ASSERT_THAT(handler_.HandleGrowth(late), IsOk());
  ASSERT_THAT(handler_.HandleGrowth(FindingOf("acme", "unknown", "k")), IsOk());
  ASSERT_EQ(Tickets("acme").size(), 1u);
  const v1::Ticket ticket = Tickets("acme")[0];
  EXPECT_EQ(ticket.finding_count(), 2u);
  EXPECT_EQ(ticket.event_count(), 10u + 1u);
  ASSERT_EQ(ticket.evidence_size(), 3);
  EXPECT_EQ(ticket.evidence(2).event_id(), "event-later");
  EXPECT_EQ(ticket.last_event_time().seconds(), grown.last_event_time().seconds());
}

TEST_F(FindingsRedisTest, AfterTheResolutionTheNextFindingOpensTheNextTicket) {
  ASSERT_THAT(handler_.Handle(FindingOf("acme", "f1", "k")), IsOk());
  const std::string first = Tickets("acme")[0].name();
  SetState(first, v1::RESOLVED);
  ASSERT_THAT(handler_.Handle(FindingOf("acme", "f2", "k")), IsOk());
  ASSERT_EQ(Tickets("acme").size(), 2u);
  EXPECT_EQ(Tickets("acme")[1].previous_ticket(), first);
}

TEST_F(FindingsRedisTest, TenantsShareNothing) {
  ASSERT_THAT(handler_.Handle(FindingOf("acme", "f1", "k")), IsOk());
  ASSERT_THAT(handler_.Handle(FindingOf("globex", "f1", "k")), IsOk());
  EXPECT_EQ(Tickets("acme").size(), 1u);
  EXPECT_EQ(Tickets("globex").size(), 1u);
}

TEST_F(FindingsRedisTest, MildFindingsOpenNoTicket) {
  ASSERT_THAT(handler_.Handle(FindingOf("acme", "f1", "k", event::v1::INFORMATIONAL)), IsOk());
  EXPECT_TRUE(Tickets("acme").empty());
}

TEST_F(FindingsRedisTest, ManyAtOnceAgreeOnOneTicket) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 10; ++i) {
        EXPECT_THAT(handler_.Handle(FindingOf("acme", fmt::format("f{}-{}", t, i), "k")), IsOk());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  ASSERT_EQ(Tickets("acme").size(), 1u);
  EXPECT_EQ(Tickets("acme")[0].finding_count(), 40u);
  EXPECT_EQ(Tickets("acme")[0].evidence_size(), 40);
}

}  // namespace
}  // namespace yagura::ticketing
