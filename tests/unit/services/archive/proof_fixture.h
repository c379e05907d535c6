#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "common/auth/token.h"
#include "common/redis/pool.h"
#include "common/store/store.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "services/archive/api/event_verifier.h"
#include "services/archive/workers/event_sealer.h"
#include "services/archive/workers/range_inserter.h"

namespace yagura::archive {

// Two units of a thousand events each, of the tenant acme and the day of BaseTime(), which are
// sealed; and whoever can write the event store.
class ProofTest : public ::testing::Test {
 protected:
  static constexpr int kEvents = 1000;

  ProofTest() {
    clock_->SetNow(SystemClock()->Now());
    EXPECT_THAT(store::RegisterTenant(*state_, "acme"), testing::IsOk());
    Insert("one", "a", 0, kEvents);
    Insert("two", "b", kEvents, kEvents);
    EXPECT_THAT(sealer_.Turn(), testing::IsOk());
  }

  void Insert(const std::string& token, const std::string& batch, int first, int count,
              const std::string& tenant = "acme", const ProofStore* proofs = nullptr) {
    const RangeInserter inserter(archive_.client, archive_.table, archive_.retention,
                                 proofs == nullptr ? &store_ : proofs);
    RangeData range;
    range.plan.set_token(token);
    range.entries.push_back({{1, 0}, batch, MakeBatch(tenant, batch, first, count)});
    const auto outcome = inserter.Insert(range);
    ASSERT_THAT(outcome, testing::IsOk());
    ASSERT_EQ(outcome->events, static_cast<uint64_t>(count)) << "of a batch that can be read";
  }
  EventVerifier::Parts VerifierParts() {
    return {
        store_, memory_, ledger_, trusted_, holds_, clock_->Now(), std::chrono::milliseconds(0)};
  }
  v1::DayProof Verify(const std::string& tenant = "acme") {
    EventVerifier verifier(VerifierParts(), tenant, day_);
    const auto proof = verifier.Run({}, [](const v1::DayProof&) { return absl::OkStatus(); });
    EXPECT_THAT(proof, testing::IsOk());
    return proof.ok() ? *proof : v1::DayProof();
  }
  // Kinds of what is wrong.
  std::vector<v1::EventFlaw::Kind> Flaws(const std::string& tenant = "acme") {
    std::vector<v1::EventFlaw::Kind> kinds;
    const v1::DayProof proof = Verify(tenant);
    for (const auto& flaw : proof.flaws()) kinds.push_back(flaw.kind());
    return kinds;
  }
  std::unique_ptr<EventSealer> NewSealer() {
    return std::make_unique<EventSealer>(
        EventSealer::Parts{store_, memory_, ledger_, archive_.retention, key_, trusted_, clock_,
                           Logger::Null()},
        EventSealer::Options{});
  }
  uint64_t Number(const std::string& sql) {
    const auto result = archive_.client->Select({.sql = sql});
    EXPECT_THAT(result, testing::IsOk());
    return result.ok() ? result->rows.at(0).at(0).AsUnsigned() : 0;
  }
  // The last head of the day, by scheme 9: what such a release would remember.
  void SealedByALaterRelease(const std::string& tenant = "acme") {
    ASSERT_OK_AND_ASSIGN(const auto heads, store_.Heads(tenant, day_));
    ASSERT_FALSE(heads.empty());
    v1::EventHead head = heads.back();
    head.set_scheme(9);
    ASSERT_THAT(memory_.Raise(head, head.expire_time().seconds(), 9), testing::IsOk());
  }
  // Somebody who can write the event store alone makes the day anew, digests included.
  void MakeTheDayAnew() {
    Run("TRUNCATE TABLE yagura.events");
    Run("TRUNCATE TABLE yagura.event_units");
    Run("TRUNCATE TABLE yagura.event_heads");
    Insert("anew", "x", 0, kEvents);
  }
  void Run(const std::string& sql) {
    eventstore::Query query;
    query.sql = sql;
    query.settings = {{"mutations_sync", "1"}, {"allow_nondeterministic_mutations", "1"}};
    ASSERT_THAT(archive_.client->Execute(query), testing::IsOk());
  }
  static std::vector<std::string> IdsOf(const v1::EventFlaw& flaw) {
    return {flaw.event_ids().begin(), flaw.event_ids().end()};
  }

  Archive archive_;
  const std::shared_ptr<redis::Pool> state_ = archive_.redis.NewPool();
  const std::shared_ptr<testing::FakeClock> clock_ = std::make_shared<testing::FakeClock>();
  const UnitLedger ledger_{state_};
  const ProofStore store_{archive_.client, &ledger_};
  const HeadMemory memory_{state_};
  std::vector<EventVerifier::Hold> holds_;
  const auth::SigningKey key_ = auth::SigningKey::Generate();
  TrustedKeys trusted_{{key_.key_id(), key_.public_key()}};
  EventSealer sealer_{
      {store_, memory_, ledger_, archive_.retention, key_, trusted_, clock_, Logger::Null()}, {}};
  const int64_t day_ = std::chrono::floor<std::chrono::days>(BaseTime()).time_since_epoch().count();
};

}  // namespace yagura::archive
