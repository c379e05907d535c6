#include "services/ticketing/domain/ticket_rules.h"

#include <map>
#include <set>

#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/testing/status_matchers.h"

namespace yagura::ticketing {
namespace {

using testing::IsOk;
using testing::StatusIs;

constexpr TimePoint kNow = std::chrono::sys_days(std::chrono::year(2026) / 1 / 5);

v1::Ticket TicketIn(v1::TicketState state) {
  v1::Ticket ticket;
  ticket.set_name("tenants/acme/tickets/1");
  ticket.set_state(state);
  return ticket;
}

TEST(Transitions, OnlyTheAllowedOnesAreMade) {
  const std::map<Transition, std::map<v1::TicketState, v1::TicketState>> allowed = {
      {Transition::kStart,
       {{v1::NEW, v1::IN_PROGRESS}, {v1::WAITING_FOR_CUSTOMER, v1::IN_PROGRESS}}},
      {Transition::kWait,
       {{v1::NEW, v1::WAITING_FOR_CUSTOMER}, {v1::IN_PROGRESS, v1::WAITING_FOR_CUSTOMER}}},
      {Transition::kResolve,
       {{v1::NEW, v1::RESOLVED},
        {v1::IN_PROGRESS, v1::RESOLVED},
        {v1::WAITING_FOR_CUSTOMER, v1::RESOLVED}}},
      {Transition::kClose, {{v1::RESOLVED, v1::CLOSED}}},
      {Transition::kReopen, {{v1::RESOLVED, v1::IN_PROGRESS}, {v1::CLOSED, v1::IN_PROGRESS}}},
  };
  for (const auto& [transition, moves] : allowed) {
    for (const v1::TicketState from :
         {v1::NEW, v1::IN_PROGRESS, v1::WAITING_FOR_CUSTOMER, v1::RESOLVED, v1::CLOSED}) {
      v1::Ticket ticket = TicketIn(from);
      const absl::Status status = Apply(ticket, transition, "tenants/acme/users/a", kNow);
      const auto move = moves.find(from);
      if (move == moves.end()) {
        EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, "TICKET_STATE"));
        EXPECT_EQ(ticket.state(), from);
      } else {
        EXPECT_THAT(status, IsOk());
        EXPECT_EQ(ticket.state(), move->second);
        EXPECT_EQ(ticket.state_changed_by(), "tenants/acme/users/a");
      }
    }
  }
}

TEST(Transitions, StampTheTimesThatBelongToThem) {
  v1::Ticket ticket = TicketIn(v1::NEW);
  ASSERT_THAT(Apply(ticket, Transition::kStart, "alice", kNow), IsOk());
  EXPECT_EQ(ticket.assignee(), "alice");
  EXPECT_EQ(FromProto(ticket.first_response_time()), kNow);
  ASSERT_THAT(Apply(ticket, Transition::kResolve, "bob", kNow + std::chrono::hours(1)), IsOk());
  EXPECT_EQ(FromProto(ticket.resolve_time()), kNow + std::chrono::hours(1));
  EXPECT_EQ(ticket.assignee(), "alice");
  ASSERT_THAT(Apply(ticket, Transition::kClose, "bob", kNow + std::chrono::hours(2)), IsOk());
  EXPECT_TRUE(ticket.has_close_time());
  ASSERT_THAT(Apply(ticket, Transition::kReopen, "bob", kNow + std::chrono::hours(3)), IsOk());
  EXPECT_FALSE(ticket.has_close_time());
  EXPECT_FALSE(ticket.has_resolve_time());
  EXPECT_EQ(FromProto(ticket.first_response_time()), kNow);
}

TEST(Validate, NamesEveryWrongField) {
  v1::Ticket ticket;
  ticket.set_title("two\nlines");
  ticket.set_description("\xff");
  const absl::Status status = ValidateText(ticket);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_NE(Message(status).find("ticket.title"), std::string_view::npos);
  EXPECT_NE(Message(status).find("ticket.description"), std::string_view::npos);
  ticket.set_title("one line");
  ticket.set_description("text\nof lines");
  EXPECT_THAT(ValidateText(ticket), IsOk());
}

TEST(Priority, FollowsSeverity) {
  EXPECT_EQ(PriorityOf(event::v1::CRITICAL), v1::P1);
  EXPECT_EQ(PriorityOf(event::v1::HIGH), v1::P2);
  EXPECT_EQ(PriorityOf(event::v1::MEDIUM), v1::P3);
  EXPECT_EQ(PriorityOf(event::v1::LOW), v1::P4);
}

}  // namespace
}  // namespace yagura::ticketing
