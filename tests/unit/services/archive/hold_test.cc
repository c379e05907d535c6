// Legal holds over a real event store and a real Redis.
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "common/clock/proto_time.h"
#include "common/redis/pool.h"
#include "common/store/change_feed.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "services/archive/api/hold_handlers.h"
#include "services/archive/workers/flow_keeper.h"
#include "services/archive/workers/hold_keeper.h"
#include "services/archive/workers/range_inserter.h"

namespace yagura::archive {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::FakeClock;
using testing::IsOk;
using testing::StatusIs;

constexpr int kEvents = 3000;  // in 30 s

class HoldTest : public ::testing::Test {
 protected:
  HoldTest() {
    clock_->SetNow(BaseTime() + hours(24));
    EXPECT_THAT(store::RegisterTenant(*state_, "acme"), IsOk());
    EXPECT_THAT(store::RegisterTenant(*state_, "beta"), IsOk());
    EXPECT_THAT(InsertTwoTenants(archive_, kEvents, 100), IsOk());
  }

  // The first ten seconds of the events.
  StatusOr<v1::LegalHold> Create(milliseconds from = {}, milliseconds to = seconds(10)) {
    v1::CreateLegalHoldRequest request;
    request.set_parent("tenants/acme");
    request.mutable_legal_hold()->set_reason("case 4711");
    *request.mutable_legal_hold()->mutable_start_time() = ToProto(BaseTime() + from);
    *request.mutable_legal_hold()->mutable_end_time() = ToProto(BaseTime() + to);
    return handlers_.Create(acme_, request);
  }
  StatusOr<v1::LegalHold> Release(const std::string& name) {
    v1::ReleaseLegalHoldRequest request;
    request.set_name(name);
    request.set_reason("closed");
    return handlers_.Release(acme_, request);
  }
  // Everything that is not held is over its retention, and the store has deleted what is.
  void LetRetentionPass() {
    eventstore::Query over;
    over.sql =
        "ALTER TABLE yagura.events UPDATE expires = now() - 86400 WHERE expires < "
        "toDateTime(4102444800, 'UTC')";
    over.settings["mutations_sync"] = "1";
    ASSERT_THAT(archive_.client->Execute(over), IsOk());
    Optimize();
  }
  void Optimize() {
    ASSERT_THAT(archive_.client->Execute({.sql = "OPTIMIZE TABLE yagura.events FINAL"}), IsOk());
  }
  uint64_t CountOf(const std::string& tenant) {
    return archive_.CountEvents("countIf(tenant = '" + tenant + "')");
  }

  Archive archive_;
  const std::shared_ptr<redis::Pool> state_ = archive_.redis.NewPool();
  const std::shared_ptr<FakeClock> clock_ = std::make_shared<FakeClock>();
  const store::Store<v1::LegalHold> holds_{state_, LegalHoldKind(), clock_};
  HoldKeeper keeper_{{state_, archive_.client, archive_.retention, clock_, Logger::Null()},
                     holds_,
                     {.settle = milliseconds(0), .grace = std::chrono::seconds(-3600)}};
  int told_ = 0;
  HoldHandlers handlers_{holds_, std::make_shared<store::FeedFollower>(state_, Logger::Null()),
                         clock_, [this] { ++told_; }};
  const rpc::Call acme_ = MakeCall("acme", {"acme"});
};

TEST_F(HoldTest, KeepsWhatRetentionWouldDeleteUntilItIsReleased) {
  ASSERT_OK_AND_ASSIGN(const auto hold, Create());
  EXPECT_EQ(hold.state(), v1::LegalHold::ACTIVE);
  EXPECT_EQ(hold.created_by(), "tenants/provider/users/test");
  EXPECT_EQ(told_, 1);
  ASSERT_THAT(keeper_.Turn(), IsOk());
  EXPECT_TRUE(holds_.Get(hold.name())->has_applied_time());
  LetRetentionPass();
  EXPECT_EQ(CountOf("acme"), 1000u) << "ten seconds of a hundred events each";
  EXPECT_EQ(CountOf("beta"), 0u) << "another tenant's";

  // What is received in its range from now on is kept as well.
  archive_.retention.Set({{"acme", 1}});
  const RangeInserter inserter(archive_.client, archive_.table, archive_.retention);
  RangeData range;
  range.plan.set_token("later");
  range.entries.push_back({{3, 0}, "c", MakeBatch("acme", "c", 500, 1000)});
  ASSERT_THAT(inserter.Insert(range), IsOk());
  Optimize();
  EXPECT_EQ(CountOf("acme"), 1500u) << "of 1,000 half lie in the range";

  ASSERT_OK_AND_ASSIGN(const auto released, Release(hold.name()));
  EXPECT_EQ(released.state(), v1::LegalHold::RELEASED);
  EXPECT_EQ(released.released_by(), "tenants/provider/users/test");
  EXPECT_EQ(released.release_reason(), "closed");
  ASSERT_THAT(keeper_.Turn(), IsOk());
  EXPECT_TRUE(holds_.Get(hold.name())->has_settled_time());
  Optimize();
  EXPECT_EQ(CountOf("acme"), 0u);
  EXPECT_THAT(Release(hold.name()), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(HoldTest, WhatAnotherHoldKeepsStaysWhenOneIsReleased) {
  ASSERT_OK_AND_ASSIGN(const auto first, Create());
  ASSERT_OK_AND_ASSIGN(const auto second, Create(seconds(5), seconds(15)));
  ASSERT_THAT(keeper_.Turn(), IsOk());
  archive_.retention.Set({{"acme", 1}});
  ASSERT_THAT(Release(first.name()), IsOk());
  ASSERT_THAT(keeper_.Turn(), IsOk());
  LetRetentionPass();
  EXPECT_EQ(CountOf("acme"), 1000u) << "seconds 5 to 15";
}

TEST_F(HoldTest, FlowsOfItsDaysStay) {
  ASSERT_OK_AND_ASSIGN(const auto hold, Create());
  ASSERT_THAT(keeper_.Load(), IsOk());
  const FlowKeeper flows(archive_.client, archive_.retention);
  const auto count = [this](const std::string& tenant) {
    const auto rows = archive_.client->Select(
        {.sql = "SELECT count() FROM yagura.flows WHERE tenant = '" + tenant + "'"});
    return rows.ok() ? rows->rows[0][0].AsUnsigned() : 0;
  };
  ASSERT_GT(count("acme"), 0u);
  ASSERT_THAT(archive_.client->Execute({.sql = "SET mutations_sync = 1"}), IsOk());
  ASSERT_THAT(flows.Sweep(BaseTime() + hours(24 * 500)), IsOk());
  EXPECT_GT(count("acme"), 0u);
}

TEST_F(HoldTest, SaysWhatIsWrong) {
  v1::CreateLegalHoldRequest request;
  request.set_parent("tenants/acme");
  EXPECT_THAT(handlers_.Create(acme_, request), StatusIs(absl::StatusCode::kInvalidArgument));
  request.mutable_legal_hold()->set_reason("case");
  EXPECT_THAT(handlers_.Create(acme_, request), StatusIs(absl::StatusCode::kInvalidArgument));
  *request.mutable_legal_hold()->mutable_start_time() = ToProto(BaseTime());
  *request.mutable_legal_hold()->mutable_end_time() = ToProto(BaseTime());
  EXPECT_THAT(handlers_.Create(acme_, request), StatusIs(absl::StatusCode::kInvalidArgument));
  request.mutable_legal_hold()->clear_end_time();
  EXPECT_THAT(handlers_.Create(acme_, request), IsOk()) << "without end";
  v1::ListLegalHoldsRequest list;
  list.set_parent("tenants/acme");
  ASSERT_OK_AND_ASSIGN(const auto listed, handlers_.List(acme_, list));
  EXPECT_EQ(listed.legal_holds_size(), 1);
  EXPECT_THAT(Release("tenants/acme/legalHolds/nosuch"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace yagura::archive
