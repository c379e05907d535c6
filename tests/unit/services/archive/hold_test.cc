// Legal holds over a real event store and a real Redis.
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "common/clock/proto_time.h"
#include "common/redis/pool.h"
#include "common/store/change_feed.h"
#include "common/testing/eventually.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "services/archive/api/hold_handlers.h"
#include "services/archive/storage/head_memory.h"
#include "services/archive/storage/hold_rounds.h"
#include "services/archive/storage/job_lease.h"
#include "services/archive/storage/proof_store.h"
#include "services/archive/workers/event_sealer.h"
#include "services/archive/workers/flow_keeper.h"
#include "services/archive/workers/hold_keeper.h"
#include "services/archive/workers/hold_watcher.h"
#include "services/archive/workers/range_inserter.h"

namespace yagura::archive {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::Contains;
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
    EXPECT_THAT(watcher_.Turn(), IsOk());
  }

  // Both workers, until there is nothing left to do.
  void Work() {
    ASSERT_THAT(keeper_.Turn(), IsOk());
    ASSERT_THAT(watcher_.Turn(), IsOk());
    ASSERT_THAT(keeper_.Turn(), IsOk());
  }
  bool Applied(const std::string& name) { return holds_.Get(name)->has_applied_time(); }
  uint64_t Held() { return archive_.CountEvents("countIf(expires = toDateTime(4102444800))"); }
  // With digests, by what `retention` knows.
  void Insert(const Retention& retention, const std::string& token, int first, int count) {
    const RangeInserter inserter(archive_.client, archive_.table, retention, &proofs_);
    RangeData range;
    range.plan.set_token(token);
    range.entries.push_back({{9, 0}, token, MakeBatch("acme", token, first, count)});
    ASSERT_THAT(inserter.Insert(range), IsOk());
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
    over.settings = {{"mutations_sync", "1"}, {"allow_nondeterministic_mutations", "1"}};
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
  const UnitLedger ledger_{state_};
  const ProofStore proofs_{archive_.client, &ledger_};
  const HoldRounds rounds_{state_};
  HoldWatcher watcher_{{state_, rounds_, archive_.retention, Logger::Null()}, holds_, {}};
  HoldKeeper keeper_{
      {state_, archive_.client, rounds_, proofs_, archive_.retention, clock_, Logger::Null()},
      holds_,
      {.patience = milliseconds(0), .recheck = milliseconds(0), .grace = seconds(-3600)}};
  int told_ = 0;
  HoldHandlers handlers_{holds_, std::make_shared<store::FeedFollower>(state_, Logger::Null()),
                         clock_, [this] {
                           ++told_;
                           EXPECT_THAT(rounds_.Begin(), IsOk());
                         }};
  const rpc::Call acme_ = MakeCall("acme", {"acme"});
};

TEST_F(HoldTest, KeepsWhatRetentionWouldDeleteUntilItIsReleased) {
  ASSERT_OK_AND_ASSIGN(const auto hold, Create());
  EXPECT_EQ(hold.state(), v1::LegalHold::ACTIVE);
  EXPECT_EQ(hold.created_by(), "tenants/provider/users/test");
  EXPECT_EQ(told_, 1);
  Work();
  EXPECT_TRUE(Applied(hold.name()));
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
  Work();
  EXPECT_TRUE(holds_.Get(hold.name())->has_settled_time());
  Optimize();
  EXPECT_EQ(CountOf("acme"), 0u);
  EXPECT_THAT(Release(hold.name()), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(HoldTest, WhatAnotherHoldKeepsStaysWhenOneIsReleased) {
  ASSERT_OK_AND_ASSIGN(const auto first, Create());
  ASSERT_OK_AND_ASSIGN(const auto second, Create(seconds(5), seconds(15)));
  Work();
  archive_.retention.Set({{"acme", 1}});
  ASSERT_THAT(Release(first.name()), IsOk());
  Work();
  LetRetentionPass();
  EXPECT_EQ(CountOf("acme"), 1000u) << "seconds 5 to 15";
}

TEST_F(HoldTest, FlowsOfItsDaysStay) {
  ASSERT_OK_AND_ASSIGN(const auto hold, Create());
  ASSERT_THAT(watcher_.Turn(), IsOk());
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

TEST_F(HoldTest, IsAppliedOnlyOnceEverybodyWhoInsertsKnowsIt) {
  ASSERT_THAT(rounds_.Announce("another process", 0), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto hold, Create());
  Work();
  EXPECT_FALSE(Applied(hold.name()));
  EXPECT_EQ(Held(), 1000u) << "what is there is kept at once";
  // The other one inserts what it has, without knowing, and learns of the hold then.
  const Retention unaware(400);
  Insert(unaware, "late", 0, 500);
  EXPECT_EQ(Held(), 1000u);
  ASSERT_OK_AND_ASSIGN(const uint64_t round, rounds_.Announce("another process", 0));
  ASSERT_THAT(rounds_.Announce("another process", round), IsOk());
  ASSERT_THAT(keeper_.Turn(), IsOk());
  EXPECT_TRUE(Applied(hold.name()));
  EXPECT_EQ(Held(), 1500u);
}

TEST_F(HoldTest, IsNotAppliedWhileAnInsertGoesByWhatWasBefore) {
  auto under_way = archive_.retention.holds();
  ASSERT_OK_AND_ASSIGN(const auto hold, Create());
  Work();
  Work();
  EXPECT_FALSE(Applied(hold.name()));
  under_way.reset();
  Work();
  EXPECT_TRUE(Applied(hold.name()));
}

TEST_F(HoldTest, AnInsertThatNobodyWaitsForMayStillCome) {
  archive_.retention.Linger(archive_.retention.holds(), hours(1));
  ASSERT_OK_AND_ASSIGN(const auto hold, Create());
  Work();
  EXPECT_FALSE(Applied(hold.name()));
  EXPECT_TRUE(archive_.retention.Lingers());
}

TEST_F(HoldTest, WhoIsGoneIsNotWaitedFor) {
  ASSERT_THAT(rounds_.Announce("killed", 0), IsOk());
  ASSERT_OK_AND_ASSIGN(const uint64_t round, rounds_.Begin());
  EXPECT_THAT(rounds_.Look(round, hours(1))->lagging, Contains("killed"));
  EXPECT_TRUE(
      testing::Eventually([&] { return rounds_.Look(round, milliseconds(1))->lagging.empty(); }));
}

TEST_F(HoldTest, InsertsStopWhereItIsNotKnownWhatIsHeld) {
  archive_.retention.HoldsGoodUntil(std::chrono::steady_clock::now());
  const RangeInserter inserter(archive_.client, archive_.table, archive_.retention);
  RangeData range;
  range.plan.set_token("later");
  range.entries.push_back({{3, 0}, "c", MakeBatch("acme", "c", 500, 10)});
  EXPECT_THAT(inserter.Insert(range), StatusIs(absl::StatusCode::kUnavailable, "HOLDS_UNKNOWN"));
  ASSERT_THAT(watcher_.Turn(), IsOk());
  EXPECT_THAT(inserter.Insert(range), IsOk());
}

TEST_F(HoldTest, OneProcessAtATimeWorks) {
  const auto other = [this](milliseconds length) {
    return JobLease(state_, "y:{-}:archive:hold-lease", "other", length);
  };
  ASSERT_OK_AND_ASSIGN(const uint64_t epoch, other(hours(1)).Acquire());
  ASSERT_OK_AND_ASSIGN(const auto hold, Create());
  Work();
  EXPECT_FALSE(Applied(hold.name())) << "another one has the lease";
  other(hours(1)).Release(epoch);
  Work();
  EXPECT_TRUE(Applied(hold.name()));
  EXPECT_THAT(other(hours(1)).Fence(epoch), StatusIs(absl::StatusCode::kAborted, "LEASE_LOST"));
}

TEST_F(HoldTest, WhatAStaleProcessLetGoIsTakenBack) {
  ASSERT_OK_AND_ASSIGN(const auto hold, Create());
  Work();
  eventstore::Query stale;
  stale.sql = "ALTER TABLE yagura.events UPDATE expires = now() + 3600 WHERE tenant = 'acme'";
  stale.settings = {{"mutations_sync", "1"}, {"allow_nondeterministic_mutations", "1"}};
  ASSERT_THAT(archive_.client->Execute(stale), IsOk());
  EXPECT_EQ(Held(), 0u);
  ASSERT_THAT(keeper_.Turn(), IsOk());
  EXPECT_EQ(Held(), 1000u);
}

TEST_F(HoldTest, DigestsAndHeadsOfItsDaysStayAsLong) {
  const auto key = auth::SigningKey::Generate();
  const HeadMemory memory(state_);
  Insert(archive_.retention, "proven", 0, 500);
  EventSealer sealer({proofs_,
                      memory,
                      ledger_,
                      archive_.retention,
                      key,
                      {{key.key_id(), key.public_key()}},
                      clock_,
                      Logger::Null()},
                     {});
  clock_->SetNow(SystemClock()->Now());
  ASSERT_THAT(sealer.Turn(), IsOk());
  const auto held = [this](const std::string& table) {
    const auto rows = archive_.client->Select(
        {.sql = "SELECT countIf(kept = toDateTime(4102444800)), count() FROM yagura." + table});
    return rows.ok() ? std::pair(rows->rows[0][0].AsUnsigned(), rows->rows[0][1].AsUnsigned())
                     : std::pair<uint64_t, uint64_t>();
  };
  EXPECT_EQ(held("event_units"), std::pair(uint64_t{0}, uint64_t{1}));
  // It keeps none of these events, but something of their day.
  ASSERT_OK_AND_ASSIGN(const auto hold, Create(hours(2), hours(3)));
  Work();
  ASSERT_TRUE(Applied(hold.name()));
  EXPECT_EQ(held("event_units"), std::pair(uint64_t{1}, uint64_t{1}));
  EXPECT_EQ(held("event_heads"), std::pair(uint64_t{1}, uint64_t{1}));
  archive_.retention.Set({{"acme", 1}});
  ASSERT_OK_AND_ASSIGN(const auto other, Create(hours(5), hours(6)));
  Work();
  ASSERT_THAT(Release(other.name()), IsOk());
  Work();
  ASSERT_TRUE(holds_.Get(other.name())->has_settled_time());
  EXPECT_EQ(held("event_units").first, 1u) << "the first one keeps the day";
  ASSERT_THAT(Release(hold.name()), IsOk());
  Work();
  EXPECT_EQ(held("event_units"), std::pair(uint64_t{0}, uint64_t{1}));
  EXPECT_EQ(held("event_heads"), std::pair(uint64_t{0}, uint64_t{1}));
}

TEST_F(HoldTest, WhatIsReleasedGoesNoSoonerThanItsDigestSays) {
  Insert(archive_.retention, "proven", 0, 500);  // kept for 400 days
  ASSERT_OK_AND_ASSIGN(const auto hold, Create());
  Work();
  archive_.retention.Set({{"acme", 1}});
  ASSERT_THAT(Release(hold.name()), IsOk());
  Work();
  ASSERT_TRUE(holds_.Get(hold.name())->has_settled_time());
  EXPECT_EQ(archive_.CountEvents("countIf(unit != 0 AND expires > now() + toIntervalDay(390))"),
            500u);
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
