#include <map>
#include <mutex>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "services/ticketing/api/comments.h"
#include "services/ticketing/api/tickets.h"
#include "tests/unit/services/ticketing/world.h"

namespace yagura::ticketing {
namespace {

using testing::IsOk;
using testing::StatusIs;

class TicketsRedisTest : public WorldTest {
 protected:
  v1::Ticket NewTicket(const std::string& tenant, const std::string& title,
                       v1::Priority priority = v1::P3) {
    v1::CreateTicketRequest request;
    request.set_parent("tenants/" + tenant);
    request.mutable_ticket()->set_title(title);
    request.mutable_ticket()->set_priority(priority);
    auto ticket = tickets_.Create(CallAs("analyst", tenant), request);
    EXPECT_THAT(ticket, IsOk());
    return ticket.ok() ? *ticket : v1::Ticket();
  }
  absl::StatusOr<v1::Comment> Say(const rpc::Call& call, const std::string& ticket,
                                  v1::Visibility visibility, const std::string& text) {
    v1::AddCommentRequest request;
    request.set_parent(ticket);
    request.mutable_comment()->set_text(text);
    request.mutable_comment()->set_visibility(visibility);
    return comments_.Add(call, request);
  }

  absl::StatusOr<v1::Ticket> Assign(const v1::Ticket& ticket, const std::string& user) {
    v1::AssignTicketRequest request;
    request.set_name(ticket.name());
    request.set_assignee(user);
    return tickets_.Assign(CallAs("analyst", "acme"), request);
  }

  // What the directory says of a user; OK where it is not told otherwise.
  std::map<std::string, absl::Status> users_;
  TicketsApi tickets_{stores_, feed_, SystemClock(), Deadlines(),
                      [this](const std::string& user) { return users_[user]; }};
  CommentsApi comments_{stores_, SystemClock()};
};

TEST_F(TicketsRedisTest, NumbersGrowWithinATenant) {
  const v1::Ticket first = NewTicket("acme", "one");
  const v1::Ticket second = NewTicket("acme", "two");
  EXPECT_LT(first.number(), second.number());
  EXPECT_EQ(NewTicket("globex", "one").number(), 1);
  EXPECT_EQ(first.state(), v1::NEW);
  EXPECT_EQ(first.reporter(), "tenants/acme/users/analyst");
  EXPECT_TRUE(first.has_due_time());
}

TEST_F(TicketsRedisTest, ATicketGoesToWhoeverCanWorkOnIt) {
  const v1::Ticket ticket = NewTicket("acme", "one");
  ASSERT_OK_AND_ASSIGN(const v1::Ticket own, Assign(ticket, "tenants/acme/users/sato"));
  EXPECT_EQ(own.assignee(), "tenants/acme/users/sato");
  EXPECT_THAT(Assign(ticket, "tenants/provider/users/alice"), IsOk());

  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument, "INVALID_FIELD");
  EXPECT_THAT(Assign(ticket, "tenants/globex/users/eve"), invalid);
  EXPECT_THAT(Assign(ticket, "tenants/acme/apiKeys/robot"), invalid);
  EXPECT_THAT(Assign(ticket, "tenants/acme/users/"), invalid);
  users_["tenants/acme/users/nobody"] = absl::NotFoundError("user");
  EXPECT_THAT(Assign(ticket, "tenants/acme/users/nobody"), invalid);
  users_["tenants/acme/users/gone"] =
      MakeError(absl::StatusCode::kFailedPrecondition, "USER_DISABLED", "disabled");
  EXPECT_THAT(Assign(ticket, "tenants/acme/users/gone"),
              StatusIs(absl::StatusCode::kFailedPrecondition, "USER_DISABLED"));
  users_["tenants/acme/users/late"] = absl::UnavailableError("directory");
  EXPECT_THAT(Assign(ticket, "tenants/acme/users/late"), StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_OK_AND_ASSIGN(const v1::Ticket still, stores_.tickets.Get(ticket.name()));
  EXPECT_EQ(still.assignee(), "tenants/provider/users/alice");
  ASSERT_OK_AND_ASSIGN(const v1::Ticket nobodys, Assign(ticket, ""));
  EXPECT_EQ(nobodys.assignee(), "");
}

TEST_F(TicketsRedisTest, AStaleEtagIsRefusedWithTheCurrentOne) {
  const v1::Ticket ticket = NewTicket("acme", "one");
  ASSERT_OK_AND_ASSIGN(
      const v1::Ticket started,
      tickets_.Move(CallAs("analyst", "acme"), ticket.name(), ticket.etag(), Transition::kStart));
  const auto stale = tickets_.Move(CallAs("analyst", "acme"), ticket.name(), ticket.etag(),
                                   Transition::kResolve, "done");
  EXPECT_THAT(stale, StatusIs(absl::StatusCode::kAborted, "ETAG_MISMATCH"));
  EXPECT_EQ(GetErrorMetadata(stale.status()).at("etag"), started.etag());
}

TEST_F(TicketsRedisTest, StaffListAllTenantsInOneOrderAndCustomersTheirOwn) {
  NewTicket("acme", "late", v1::P4);
  NewTicket("globex", "soon", v1::P1);
  NewTicket("initech", "then", v1::P2);
  v1::ListTicketsRequest request;
  request.set_parent("tenants/-");
  request.set_order_by("priority");
  request.set_filter("state != CLOSED");
  ASSERT_OK_AND_ASSIGN(const auto all, tickets_.List(CallAs("analyst", "-"), request));
  ASSERT_EQ(all.tickets_size(), 3);
  EXPECT_EQ(all.tickets(0).title(), "soon");
  EXPECT_EQ(all.tickets(1).title(), "then");
  EXPECT_EQ(all.tickets(2).title(), "late");

  auth::Grant grant;
  grant.role = "customer-viewer";
  grant.tenants = {"globex"};
  rpc::Call::Parts parts;
  parts.principal.name = "tenants/globex/users/eve";
  parts.principal.grants = {grant};
  parts.permission = "ticketing.tickets.list";
  parts.tenant = "-";
  ASSERT_OK_AND_ASSIGN(const auto own, tickets_.List(rpc::Call(parts), request));
  ASSERT_EQ(own.tickets_size(), 1);
  EXPECT_EQ(own.tickets(0).title(), "soon");
}

TEST_F(TicketsRedisTest, AListOfOneTenantIsFilteredAndPaged) {
  for (int i = 0; i < 5; ++i) NewTicket("acme", "t" + std::to_string(i), i < 3 ? v1::P1 : v1::P4);
  v1::ListTicketsRequest request;
  request.set_parent("tenants/acme");
  request.set_filter("priority = P1");
  request.set_order_by("create_time");
  request.set_page_size(2);
  std::vector<std::string> titles;
  do {
    ASSERT_OK_AND_ASSIGN(const auto page, tickets_.List(CallAs("analyst", "acme"), request));
    for (const auto& ticket : page.tickets()) titles.push_back(ticket.title());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(titles, ::testing::ElementsAre("t0", "t1", "t2"));
}

TEST_F(TicketsRedisTest, CustomersNeitherSeeNorWriteInternalComments) {
  const v1::Ticket ticket = NewTicket("acme", "one");
  const rpc::Call staff = CallAs("analyst", "acme");
  const rpc::Call customer = CallAs("customer-viewer", "acme");
  ASSERT_THAT(Say(staff, ticket.name(), v1::INTERNAL, "suspects the gateway"), IsOk());
  ASSERT_THAT(Say(staff, ticket.name(), v1::PUBLIC, "we look into it"), IsOk());
  EXPECT_THAT(Say(customer, ticket.name(), v1::INTERNAL, "psst"),
              StatusIs(absl::StatusCode::kPermissionDenied, "INTERNAL_COMMENT"));
  ASSERT_THAT(Say(customer, ticket.name(), v1::PUBLIC, "thanks"), IsOk());
  v1::ListCommentsRequest request;
  request.set_parent(ticket.name());
  ASSERT_OK_AND_ASSIGN(const auto all, comments_.List(staff, request));
  EXPECT_EQ(all.comments_size(), 3);
  EXPECT_EQ(all.comments(0).text(), "suspects the gateway");
  ASSERT_OK_AND_ASSIGN(const auto own, comments_.List(customer, request));
  ASSERT_EQ(own.comments_size(), 2);
  EXPECT_EQ(own.comments(0).text(), "we look into it");
  // No filter reaches around it.
  for (const char* filter :
       {"visibility = INTERNAL", "text:* OR visibility = INTERNAL", "NOT visibility = PUBLIC"}) {
    request.set_filter(filter);
    ASSERT_OK_AND_ASSIGN(const auto page, comments_.List(customer, request));
    for (const auto& comment : page.comments()) EXPECT_EQ(comment.visibility(), v1::PUBLIC);
  }
  request.set_filter("text:*) OR (visibility = INTERNAL");
  EXPECT_THAT(comments_.List(customer, request), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(TicketsRedisTest, ACustomersAnswerBringsAWaitingTicketBack) {
  const v1::Ticket ticket = NewTicket("acme", "one");
  ASSERT_THAT(tickets_.Move(CallAs("analyst", "acme"), ticket.name(), "", Transition::kWait),
              IsOk());
  ASSERT_THAT(Say(CallAs("customer-viewer", "acme"), ticket.name(), v1::PUBLIC, "done"), IsOk());
  v1::GetTicketRequest request;
  request.set_name(ticket.name());
  ASSERT_OK_AND_ASSIGN(const v1::Ticket now, tickets_.Get(CallAs("analyst", "acme"), request));
  EXPECT_EQ(now.state(), v1::IN_PROGRESS);
}

TEST_F(TicketsRedisTest, ARepeatedCommentMovesNoTicketThatWasMovedSince) {
  const rpc::Call staff = CallAs("analyst", "acme");
  for (const bool waiting : {true, false}) {
    const std::string name = NewTicket("acme", "one").name();
    ASSERT_THAT(tickets_.Move(staff, name, "", waiting ? Transition::kWait : Transition::kStart),
                IsOk());
    const rpc::Call customer =
        CallAs("customer-viewer", "acme", "ticketing.comments.create", waiting ? "r1" : "r2");
    ASSERT_OK_AND_ASSIGN(const v1::Comment first, Say(customer, name, v1::PUBLIC, "done"));
    ASSERT_THAT(tickets_.Move(staff, name, "", Transition::kWait), IsOk());
    ASSERT_OK_AND_ASSIGN(const v1::Ticket before, stores_.tickets.Get(name));
    ASSERT_OK_AND_ASSIGN(const v1::Comment again, Say(customer, name, v1::PUBLIC, "done"));
    EXPECT_EQ(again.name(), first.name());
    ASSERT_OK_AND_ASSIGN(const v1::Ticket after, stores_.tickets.Get(name));
    EXPECT_EQ(after.state(), v1::WAITING_FOR_CUSTOMER);
    EXPECT_EQ(after.etag(), before.etag());
  }
}

TEST_F(TicketsRedisTest, ARepeatDoesWhatACrashAfterTheCommentLeftUndone) {
  const std::string name = NewTicket("acme", "one").name();
  ASSERT_THAT(tickets_.Move(CallAs("analyst", "acme"), name, "", Transition::kWait), IsOk());
  const rpc::Call customer = CallAs("customer-viewer", "acme", "ticketing.comments.create", "r1");
  v1::Comment comment;
  comment.set_name(name + "/comments/0000000000000001-x");
  comment.set_text("done");
  comment.set_visibility(v1::PUBLIC);
  ASSERT_THAT(stores_.comments.Create(customer.write_context(), comment), IsOk());
  ASSERT_OK_AND_ASSIGN(const v1::Comment again, Say(customer, name, v1::PUBLIC, "done"));
  EXPECT_EQ(again.name(), comment.name());
  EXPECT_EQ(stores_.tickets.Get(name)->state(), v1::IN_PROGRESS);
}

TEST_F(TicketsRedisTest, ACommentOnNoTicketIsNotFound) {
  EXPECT_THAT(Say(CallAs("analyst", "acme"), "tenants/acme/tickets/none", v1::PUBLIC, "x"),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(TicketsRedisTest, EvidenceIsLinkedOnce) {
  const v1::Ticket ticket = NewTicket("acme", "one");
  v1::LinkEvidenceRequest request;
  request.set_name(ticket.name());
  request.add_evidence()->set_event_id("e1");
  request.add_evidence()->set_event_id("e2");
  ASSERT_THAT(tickets_.Link(CallAs("analyst", "acme"), request), IsOk());
  ASSERT_OK_AND_ASSIGN(const v1::Ticket linked, tickets_.Link(CallAs("analyst", "acme"), request));
  ASSERT_EQ(linked.evidence_size(), 2);
  EXPECT_EQ(linked.evidence(0).linked_by(), "tenants/acme/users/analyst");
  EXPECT_EQ(linked.event_count(), 2u);
}

TEST_F(TicketsRedisTest, OnlyWhatTheMaskNamesIsChanged) {
  const v1::Ticket ticket = NewTicket("acme", "one");
  v1::UpdateTicketRequest request;
  request.mutable_ticket()->set_name(ticket.name());
  request.mutable_ticket()->set_title("ignored");
  request.mutable_ticket()->set_priority(v1::P1);
  request.mutable_update_mask()->add_paths("priority");
  ASSERT_OK_AND_ASSIGN(const v1::Ticket updated,
                       tickets_.Update(CallAs("analyst", "acme"), request));
  EXPECT_EQ(updated.title(), "one");
  EXPECT_EQ(updated.priority(), v1::P1);
  EXPECT_LT(FromProto(updated.due_time()), FromProto(ticket.due_time()));
  request.mutable_update_mask()->add_paths("state");
  EXPECT_THAT(tickets_.Update(CallAs("analyst", "acme"), request),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

// Keeps what a stream sends.
class Kept : public rpc::RawOutbox {
 public:
  bool Push(std::shared_ptr<const google::protobuf::Message> message) override {
    const std::lock_guard lock(mutex_);
    sent_.push_back(static_cast<const v1::WatchTicketsResponse&>(*message));
    return true;
  }
  bool PushWhenRoom(std::shared_ptr<const google::protobuf::Message> message) override {
    return Push(std::move(message));
  }
  void Finish(const absl::Status&) override {}
  std::vector<v1::WatchTicketsResponse> sent() const {
    const std::lock_guard lock(mutex_);
    return sent_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<v1::WatchTicketsResponse> sent_;
};

TEST_F(TicketsRedisTest, AWatchTellsOfChangesThatItsFilterMatches) {
  v1::WatchTicketsRequest request;
  request.set_parent("tenants/-");
  request.set_filter("priority <= P2");
  const auto kept = std::make_shared<Kept>();
  ASSERT_OK_AND_ASSIGN(const auto watch,
                       tickets_.Watch(CallAs("analyst", "-", "ticketing.tickets.watch"), request,
                                      rpc::Outbox<v1::WatchTicketsResponse>(kept)));
  ASSERT_EQ(kept->sent().size(), 1u);
  EXPECT_FALSE(kept->sent()[0].has_ticket());
  NewTicket("acme", "dull", v1::P4);
  NewTicket("globex", "urgent", v1::P1);
  ASSERT_TRUE(Eventually([&] { return kept->sent().size() >= 2; }));
  EXPECT_EQ(kept->sent()[1].ticket().title(), "urgent");
}

}  // namespace
}  // namespace yagura::ticketing
