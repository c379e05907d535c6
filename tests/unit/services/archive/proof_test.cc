// Digests, chains and their verification over a real event store, with rows changed behind its
// back.
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "common/auth/token.h"
#include "common/clock/proto_time.h"
#include "common/redis/pool.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "services/archive/api/event_verifier.h"
#include "services/archive/api/proof_handlers.h"
#include "services/archive/workers/event_sealer.h"
#include "services/archive/workers/range_inserter.h"

namespace yagura::archive {
namespace {

using std::chrono::hours;
using ::testing::Contains;
using ::testing::ElementsAre;
using testing::FakeClock;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;

constexpr int kEvents = 1000;

class ProofTest : public ::testing::Test {
 protected:
  ProofTest() {
    clock_->SetNow(SystemClock()->Now());
    Insert("one", "a", 0, kEvents);
    Insert("two", "b", kEvents, kEvents);
    EXPECT_THAT(sealer_.Turn(), IsOk());
  }

  void Insert(const std::string& token, const std::string& batch, int first, int count) {
    const RangeInserter inserter(archive_.client, archive_.table, archive_.retention, &store_);
    RangeData range;
    range.plan.set_token(token);
    range.entries.push_back({{1, 0}, batch, MakeBatch("acme", batch, first, count)});
    EXPECT_THAT(inserter.Insert(range), IsOk());
  }
  v1::DayProof Verify() {
    EventVerifier verifier(store_, trusted_, clock_->Now(), "acme", day_);
    const auto proof = verifier.Run({}, [](const v1::DayProof&) { return absl::OkStatus(); });
    EXPECT_THAT(proof, IsOk());
    return proof.ok() ? *proof : v1::DayProof();
  }
  void Run(const std::string& sql) {
    eventstore::Query query;
    query.sql = sql;
    query.settings["mutations_sync"] = "1";
    ASSERT_THAT(archive_.client->Execute(query), IsOk());
  }
  static std::vector<std::string> IdsOf(const v1::EventFlaw& flaw) {
    return {flaw.event_ids().begin(), flaw.event_ids().end()};
  }

  Archive archive_;
  const std::shared_ptr<redis::Pool> state_ = archive_.redis.NewPool();
  const std::shared_ptr<FakeClock> clock_ = std::make_shared<FakeClock>();
  const ProofStore store_{archive_.client, state_};
  const auth::SigningKey key_ = auth::SigningKey::Generate();
  TrustedKeys trusted_{{key_.key_id(), key_.public_key()}};
  EventSealer sealer_{store_, key_, clock_, {}, Logger::Null()};
  const int64_t day_ = std::chrono::floor<std::chrono::days>(BaseTime()).time_since_epoch().count();
};

TEST_F(ProofTest, WhatIsAsItWasStoredIsVerified) {
  const v1::DayProof proof = Verify();
  EXPECT_THAT(proof.flaws(), IsEmpty()) << proof.DebugString();
  EXPECT_EQ(proof.verified_events(), 2u * kEvents);
  EXPECT_EQ(proof.verified_units(), 2u);
  EXPECT_EQ(proof.unsealed_units(), 0u);
  EXPECT_EQ(proof.head().event_count(), 2u * kEvents);
  // The same range again changes nothing, and neither does merging.
  Insert("one", "a", 0, kEvents);
  EXPECT_THAT(sealer_.Turn(), IsOk());
  Run("OPTIMIZE TABLE yagura.events FINAL");
  EXPECT_THAT(Verify().flaws(), IsEmpty());
  EXPECT_EQ(Verify().head().sequence(), 1u);
}

TEST_F(ProofTest, TheChainGoesOnWithWhatComesLater) {
  Insert("three", "c", 2 * kEvents, kEvents);
  EXPECT_EQ(Verify().unsealed_units(), 1u);
  ASSERT_THAT(sealer_.Turn(), IsOk());
  const v1::DayProof proof = Verify();
  EXPECT_THAT(proof.flaws(), IsEmpty()) << proof.DebugString();
  EXPECT_EQ(proof.head().sequence(), 2u);
  EXPECT_EQ(proof.verified_events(), 3u * kEvents);
}

TEST_F(ProofTest, AnAlteredEventIsNamed) {
  Run("ALTER TABLE yagura.events UPDATE raw = concat(raw, ' ') WHERE id = 'a-17'");
  const v1::DayProof proof = Verify();
  ASSERT_THAT(proof.flaws(), SizeIs(1)) << proof.DebugString();
  EXPECT_EQ(proof.flaws(0).kind(), v1::EventFlaw::EVENT_ALTERED);
  EXPECT_THAT(IdsOf(proof.flaws(0)), ElementsAre("a-17"));
  EXPECT_EQ(proof.verified_events(), uint64_t{kEvents}) << "the other unit's";
}

TEST_F(ProofTest, AMissingEventIsNamedByItsNeighbours) {
  Run("ALTER TABLE yagura.events DELETE WHERE id = 'b-500'");
  const v1::DayProof proof = Verify();
  ASSERT_THAT(proof.flaws(), SizeIs(1)) << proof.DebugString();
  EXPECT_EQ(proof.flaws(0).kind(), v1::EventFlaw::EVENT_MISSING);
  EXPECT_THAT(IdsOf(proof.flaws(0)), ElementsAre("b-499", "b-501"));
}

TEST_F(ProofTest, AnInsertedEventIsNamed) {
  Run("INSERT INTO yagura.events SELECT * REPLACE('a-x' AS id) FROM (SELECT * FROM "
      "yagura.events WHERE id = 'a-20')");
  v1::DayProof proof = Verify();
  ASSERT_THAT(proof.flaws(), SizeIs(1)) << proof.DebugString();
  EXPECT_EQ(proof.flaws(0).kind(), v1::EventFlaw::EVENT_INSERTED);
  EXPECT_THAT(IdsOf(proof.flaws(0)), ElementsAre("a-x"));
  Run("ALTER TABLE yagura.events DELETE WHERE id = 'a-x'");
  ASSERT_THAT(Verify().flaws(), IsEmpty());
  Run("INSERT INTO yagura.events SELECT * REPLACE('z-1' AS id, 77 AS unit) FROM (SELECT * FROM "
      "yagura.events WHERE id = 'a-20')");
  proof = Verify();
  ASSERT_THAT(proof.flaws(), SizeIs(1)) << proof.DebugString();
  EXPECT_EQ(proof.flaws(0).kind(), v1::EventFlaw::EVENT_INSERTED);
  EXPECT_THAT(IdsOf(proof.flaws(0)), ElementsAre("z-1"));
}

TEST_F(ProofTest, DigestsAndHeadsThatAreNotThoseThatWereSealedAreTold) {
  Run("ALTER TABLE yagura.events DELETE WHERE id LIKE 'a-%'");
  Run("ALTER TABLE yagura.event_units DELETE WHERE unit IN (SELECT unit FROM yagura.event_units "
      "ORDER BY first_time LIMIT 1)");
  v1::DayProof proof = Verify();
  ASSERT_THAT(proof.flaws(), SizeIs(1)) << proof.DebugString();
  EXPECT_EQ(proof.flaws(0).kind(), v1::EventFlaw::UNIT_MISSING);
  Run("TRUNCATE TABLE yagura.event_units");
  Run("TRUNCATE TABLE yagura.event_heads");
  Run("TRUNCATE TABLE yagura.events");
  proof = Verify();
  ASSERT_THAT(proof.flaws(), SizeIs(1)) << proof.DebugString();
  EXPECT_EQ(proof.flaws(0).kind(), v1::EventFlaw::HEAD_MISSING) << "the state Redis remembers it";
}

TEST_F(ProofTest, AHeadOfSomebodyElseDoesNotCount) {
  trusted_.clear();
  const v1::DayProof proof = Verify();
  ASSERT_THAT(proof.flaws(), SizeIs(1));
  EXPECT_EQ(proof.flaws(0).kind(), v1::EventFlaw::HEAD_ALTERED);
}

TEST_F(ProofTest, WhatRetentionMayHaveDeletedIsNoFlaw) {
  clock_->SetNow(BaseTime() + hours(24 * 500));
  Run("ALTER TABLE yagura.events DELETE WHERE id LIKE 'a-%'");
  const v1::DayProof proof = Verify();
  EXPECT_THAT(proof.flaws(), IsEmpty()) << proof.DebugString();
  EXPECT_EQ(proof.expired_units(), 2u);
}

TEST_F(ProofTest, AnswersByDay) {
  const ProofHandlers handlers(store_, trusted_, clock_);
  v1::VerifyEventsRequest request;
  request.set_parent("tenants/acme");
  request.set_first_day(FormatTime(BaseTime() - hours(24)).substr(0, 10));
  request.set_last_day(FormatTime(BaseTime()).substr(0, 10));
  const auto outbox = std::make_shared<CollectingOutbox>();
  const rpc::Call acme = MakeCall("acme", {"acme"});
  ASSERT_THAT(handlers.VerifyEvents(acme, request, rpc::Outbox<v1::VerifyEventsResponse>(outbox)),
              IsOk());
  ASSERT_EQ(outbox->messages.size(), 2u);
  const auto& last = static_cast<const v1::VerifyEventsResponse&>(*outbox->messages[1]);
  EXPECT_TRUE(last.done());
  EXPECT_EQ(last.proof().verified_events(), 2u * kEvents);
  v1::ListEventHeadsRequest list;
  list.set_parent("tenants/acme");
  list.set_first_day(request.first_day());
  list.set_last_day(request.last_day());
  ASSERT_OK_AND_ASSIGN(const auto heads, handlers.ListEventHeads(acme, list));
  EXPECT_EQ(heads.heads_size(), 1);
  request.set_first_day("yesterday");
  EXPECT_THAT(handlers.VerifyEvents(acme, request, rpc::Outbox<v1::VerifyEventsResponse>(outbox)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace yagura::archive
