// Digests, chains and their verification over a real event store, with rows changed behind its
// back.
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/testing/eventually.h"
#include "proof_fixture.h"
#include "services/archive/api/proof_handlers.h"
#include "services/archive/domain/block_column.h"
#include "services/archive/workers/hold_watcher.h"

namespace yagura::archive {
namespace {

using std::chrono::hours;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::Not;
using ::testing::SizeIs;
using testing::StatusIs;

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
  EXPECT_THAT(Verify().flaws(), IsEmpty()) << "received days ago, but stored just now";
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

TEST_F(ProofTest, WhatWasDoneInSeveralPlacesOfAUnitIsToldApart) {
  const auto forge = [&](const std::string& id, const std::string& beside) {
    Run(
        fmt::format("INSERT INTO yagura.events SELECT * REPLACE('{}' AS id, 'forged' AS raw) FROM "
                    "(SELECT * FROM yagura.events WHERE id = '{}')",
                    id, beside));
  };
  Run("ALTER TABLE yagura.events DELETE WHERE id = 'a-20'");
  forge("a-980x", "a-980");
  Run("ALTER TABLE yagura.events UPDATE raw = 'altered' WHERE id = 'a-500'");
  v1::DayProof proof = Verify();
  ASSERT_THAT(proof.flaws(), SizeIs(3)) << proof.DebugString();
  EXPECT_EQ(proof.flaws(0).kind(), v1::EventFlaw::EVENT_ALTERED);
  EXPECT_THAT(IdsOf(proof.flaws(0)), ElementsAre("a-500"));
  EXPECT_EQ(proof.flaws(1).kind(), v1::EventFlaw::EVENT_INSERTED);
  EXPECT_THAT(IdsOf(proof.flaws(1)), ElementsAre("a-980x"));
  EXPECT_EQ(proof.flaws(2).kind(), v1::EventFlaw::EVENT_MISSING);
  EXPECT_THAT(IdsOf(proof.flaws(2)), ElementsAre("a-19", "a-21"));
  EXPECT_EQ(proof.verified_events(), uint64_t{kEvents}) << "the other unit's";
}

TEST_F(ProofTest, AForgedIdKeepsNobodyFromReadingWhatIsWrong) {
  Run("INSERT INTO yagura.events SELECT * REPLACE(concat('a-', unhex('ff'), repeat('x', 10000)) AS "
      "id) FROM (SELECT * FROM yagura.events WHERE id = 'a-20')");
  const v1::DayProof proof = Verify();
  ASSERT_THAT(proof.flaws(), SizeIs(1)) << proof.DebugString();
  ASSERT_THAT(IdsOf(proof.flaws(0)), SizeIs(1));
  EXPECT_THAT(IdsOf(proof.flaws(0))[0], ::testing::StartsWith("a-\uFFFDxxx"));
  EXPECT_THAT(IdsOf(proof.flaws(0))[0], SizeIs(::testing::Lt(1000u)));
}

TEST_F(ProofTest, ShortChecksThatAreGoneDoNotMakeEventsInserted) {
  Run("ALTER TABLE yagura.event_units UPDATE checks = [] WHERE 1");
  const v1::DayProof proof = Verify();
  ASSERT_FALSE(proof.flaws().empty());
  EXPECT_THAT(Flaws(), Not(Contains(v1::EventFlaw::EVENT_INSERTED))) << proof.DebugString();
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

TEST_F(ProofTest, WhatALaterReleaseSealedIsNeitherProvenNorAtFault) {
  Insert("three", "c", 2 * kEvents, kEvents);
  ASSERT_THAT(sealer_.Turn(), IsOk());
  Insert("four", "d", 3 * kEvents, kEvents);
  ASSERT_THAT(sealer_.Turn(), IsOk());
  SealedByALaterRelease();
  Run("ALTER TABLE yagura.event_heads UPDATE scheme = 9, signature = 'another' WHERE sequence = 2");
  // Also what a unit and its digest are may be another matter then.
  Run("ALTER TABLE yagura.events DELETE WHERE id = 'c-17'");
  v1::DayProof proof = Verify();
  ASSERT_THAT(proof.flaws(), SizeIs(1)) << proof.DebugString();
  EXPECT_EQ(proof.flaws(0).kind(), v1::EventFlaw::HEAD_LATER);
  EXPECT_EQ(proof.flaws(0).detail(),
            "1 heads, from head 2 on, are of schemes that this release does not know");
  EXPECT_THAT(proof.later_heads(), ElementsAre(2));
  EXPECT_EQ(proof.later_events(), uint64_t{kEvents - 1});
  EXPECT_EQ(proof.verified_events(), 3u * kEvents) << "of heads before and behind it";
  EXPECT_EQ(proof.unsealed_units(), 0u);
  // By which keys it signs, and how its chain begins, is not known either.
  Run("ALTER TABLE yagura.event_heads UPDATE scheme = 9, key_id = 'x', previous_hash = "
      "reverse(previous_hash) WHERE 1");
  Run("TRUNCATE TABLE yagura.event_units");
  EXPECT_THAT(Flaws(), ElementsAre(v1::EventFlaw::HEAD_LATER));
  EXPECT_THAT(Verify().later_heads(), ElementsAre(1, 2, 3));
  EXPECT_EQ(Verify().verified_events(), 0u);
}

TEST_F(ProofTest, WhatWasSealedHereDoesNotBecomeALaterReleases) {
  Insert("three", "c", 2 * kEvents, kEvents);
  ASSERT_THAT(sealer_.Turn(), IsOk());
  Run("ALTER TABLE yagura.event_heads UPDATE scheme = 9 WHERE 1");
  v1::DayProof proof = Verify();
  ASSERT_THAT(proof.flaws(), SizeIs(2)) << proof.DebugString();
  for (const auto& flaw : proof.flaws()) EXPECT_EQ(flaw.kind(), v1::EventFlaw::HEAD_ALTERED);
  EXPECT_THAT(proof.later_heads(), IsEmpty());
  EXPECT_EQ(proof.verified_events(), 3u * kEvents) << "as they are all the same";
  Run("ALTER TABLE yagura.events DELETE WHERE id = 'c-17'");
  EXPECT_THAT(Flaws(), Contains(v1::EventFlaw::EVENT_MISSING));
  Run("TRUNCATE TABLE yagura.event_units");
  EXPECT_THAT(Flaws(), Contains(v1::EventFlaw::UNIT_MISSING).Times(3));
  // Nor is it gone on from.
  Insert("four", "d", 3 * kEvents, kEvents);
  EXPECT_THAT(sealer_.Turn(), StatusIs(absl::StatusCode::kDataLoss, "EVENT_STORE_ALTERED"));
  EXPECT_EQ(memory_.Recall("acme", day_)->scheme, kHeadScheme);
  // Another day's later release is none of this one.
  Insert("of beta", "y", 0, kEvents, "beta");
  ASSERT_THAT(NewSealer()->Turn(), StatusIs(absl::StatusCode::kDataLoss));
  SealedByALaterRelease("beta");
  EXPECT_THAT(Flaws(), Contains(v1::EventFlaw::HEAD_ALTERED).Times(2));
}

TEST_F(ProofTest, NothingHidesBehindTheSchemeOfALaterRelease) {
  // A head beside the one that was sealed takes nothing from its proof.
  Run("INSERT INTO yagura.event_heads SELECT * REPLACE(9 AS scheme) FROM "
      "(SELECT * FROM yagura.event_heads)");
  const v1::DayProof proof = Verify();
  ASSERT_THAT(proof.flaws(), SizeIs(2)) << proof.DebugString();
  for (const auto& flaw : proof.flaws()) EXPECT_EQ(flaw.kind(), v1::EventFlaw::HEAD_ALTERED);
  EXPECT_THAT(proof.later_heads(), IsEmpty());
  EXPECT_EQ(proof.verified_events(), 2u * kEvents);
  EXPECT_EQ(proof.later_events(), 0u);
  // What the state Redis remembers counts whatever the scheme.
  SealedByALaterRelease();
  Run("ALTER TABLE yagura.event_heads UPDATE scheme = 9, hash = reverse(hash) WHERE 1");
  EXPECT_THAT(Flaws(), Contains(v1::EventFlaw::HEAD_ALTERED));
  Run("INSERT INTO yagura.event_heads SELECT * REPLACE(3 AS sequence) FROM "
      "(SELECT * FROM yagura.event_heads)");
  EXPECT_THAT(Flaws(), Contains(v1::EventFlaw::HEAD_MISSING));
}

TEST_F(ProofTest, BehindAHeadOfALaterReleaseTheChainGoesOnWhereItIsRemembered) {
  SealedByALaterRelease();
  Run("ALTER TABLE yagura.event_heads UPDATE scheme = 9 WHERE 1");
  Insert("three", "c", 2 * kEvents, kEvents);
  ASSERT_THAT(sealer_.Turn(), IsOk());
  EXPECT_THAT(Flaws(), ElementsAre(v1::EventFlaw::HEAD_LATER));
  EXPECT_EQ(Verify().verified_events(), uint64_t{kEvents});
  EXPECT_EQ(memory_.Recall("acme", day_)->scheme, 9u);
  Run("INSERT INTO yagura.event_heads SELECT * REPLACE(3 AS sequence, hash AS previous_hash, "
      "9 AS scheme) FROM (SELECT * FROM yagura.event_heads WHERE sequence = 2)");
  Insert("four", "d", 3 * kEvents, kEvents);
  EXPECT_THAT(sealer_.Turn(), StatusIs(absl::StatusCode::kDataLoss, "EVENT_HEAD_LATER"));
  EXPECT_EQ(memory_.Recall("acme", day_)->sequence, 2u);
  EXPECT_THAT(Flaws(), Contains(v1::EventFlaw::HEAD_LATER));
  EXPECT_THAT(Verify().later_heads(), ElementsAre(1, 3));
}

TEST_F(ProofTest, OfALaterHeadThatIsNotRememberedNobodyKnowsWhoseItIs) {
  AddALaterHead();
  const v1::DayProof proof = Verify();
  ASSERT_THAT(proof.flaws(), SizeIs(1)) << proof.DebugString();
  EXPECT_EQ(proof.flaws(0).kind(), v1::EventFlaw::HEAD_LATER);
  EXPECT_THAT(proof.flaws(0).detail(), ::testing::HasSubstr("not remembered"));
  EXPECT_THAT(proof.later_heads(), ElementsAre(2));
  EXPECT_EQ(proof.verified_events(), 2u * kEvents);
}

TEST_F(ProofTest, WhatRetentionMayHaveDeletedIsNoFlaw) {
  clock_->SetNow(BaseTime() + hours(24 * 500));
  Run("ALTER TABLE yagura.events DELETE WHERE id LIKE 'a-%'");
  const v1::DayProof proof = Verify();
  EXPECT_THAT(proof.flaws(), IsEmpty()) << proof.DebugString();
  EXPECT_EQ(proof.expired_units(), 2u);
}

TEST_F(ProofTest, ADayThatWasMadeAnewInTheStoreIsNotSigned) {
  MakeTheDayAnew();
  Insert("of beta", "y", 0, kEvents, "beta");
  EXPECT_THAT(sealer_.Turn(), StatusIs(absl::StatusCode::kDataLoss, "EVENT_STORE_BEHIND"));
  EXPECT_EQ(sealer_.broken(), 1u);
  EXPECT_THAT(store_.Heads("acme", day_).value(), IsEmpty());
  EXPECT_EQ(memory_.Recall("acme", day_)->sequence, 1u) << "what was sealed stays remembered";
  EXPECT_THAT(Flaws(), ElementsAre(v1::EventFlaw::HEAD_MISSING));
  EXPECT_THAT(store_.Heads("beta", day_).value(), SizeIs(1)) << "other days are sealed";
  EXPECT_THAT(Flaws("beta"), IsEmpty());
}

TEST_F(ProofTest, NothingIsSignedBehindAHeadThatIsNotTheOneThatWasSealed) {
  Run("ALTER TABLE yagura.event_heads UPDATE hash = reverse(hash) WHERE 1");
  Insert("three", "c", 2 * kEvents, kEvents);
  EXPECT_THAT(sealer_.Turn(), StatusIs(absl::StatusCode::kDataLoss, "EVENT_STORE_ALTERED"));
  EXPECT_THAT(store_.Heads("acme", day_).value(), SizeIs(1));
}

TEST_F(ProofTest, NothingIsSignedBehindAHeadThatNobodyTrustedSigned) {
  Run("INSERT INTO yagura.event_heads SELECT * REPLACE(2 AS sequence, hash AS previous_hash) FROM "
      "(SELECT * FROM yagura.event_heads)");
  Insert("three", "c", 2 * kEvents, kEvents);
  EXPECT_THAT(sealer_.Turn(), StatusIs(absl::StatusCode::kDataLoss, "EVENT_STORE_ALTERED"));
  EXPECT_EQ(memory_.Recall("acme", day_)->sequence, 1u);
}

TEST_F(ProofTest, TheReviewTellsOfDaysToWhichNothingIsAdded) {
  EXPECT_EQ(sealer_.broken(), 0u);
  Run("TRUNCATE TABLE yagura.event_heads");
  Run("TRUNCATE TABLE yagura.event_units");
  clock_->Advance(hours(25));
  EXPECT_THAT(sealer_.Turn(), IsOk()) << "nothing waits to be sealed";
  EXPECT_EQ(sealer_.broken(), 1u);
}

TEST_F(ProofTest, TheReviewRemembersWhatASealerDidNotComeTo) {
  ASSERT_THAT(memory_.Forget("acme", {day_}), IsOk());
  ASSERT_THAT(NewSealer()->Turn(), IsOk());
  const auto known = memory_.Recall("acme", day_);
  EXPECT_EQ(known->sequence, 1u);
  EXPECT_GT(known->expires, 0);
}

// No day is sealed then: that is no flaw of one day, which is told once.
TEST_F(ProofTest, ThatItsMemoryCannotBeReadIsLogged) {
  ASSERT_THAT(
      state_->Command({"HSET", "y:{acme}:archive:event-heads", std::to_string(day_), "unreadable"}),
      IsOk());
  const auto sealer = NewSealer(Logger::ToFile(log_.string()));
  sealer->Start();
  EXPECT_TRUE(testing::Eventually([this] {
    const std::string text = Logged();
    return text.find("what was stored waits to be sealed") != std::string::npos &&
           text.find("cannot be read") != std::string::npos;
  }));
  sealer->Stop();
}

TEST_F(ProofTest, AHeadOfALaterReleaseIsLoggedOnce) {
  AddALaterHead();
  Insert("three", "c", 2 * kEvents, kEvents);
  const auto sealer = NewSealer(Logger::ToFile(log_.string()), std::chrono::milliseconds(1));
  sealer->Start();
  const auto sealed_heads = [this] { return store_.Heads("beta", day_).value().size(); };
  // Whole turns, each of which meets it again.
  for (size_t turn = 1; turn < 4; ++turn) {
    Insert(fmt::format("of beta {}", turn), fmt::format("y{}", turn), 0, 10, "beta");
    ASSERT_TRUE(testing::Eventually([&] { return sealed_heads() == turn; }));
  }
  sealer->Stop();
  const std::string text = Logged();
  const size_t told = text.find("cannot be gone on from");
  ASSERT_NE(told, std::string::npos);
  EXPECT_EQ(text.find("cannot be gone on from", told + 1), std::string::npos);
  EXPECT_EQ(text.find("waits to be sealed"), std::string::npos) << text;
}

TEST_F(ProofTest, WhatIsRememberedOnlyEverRises) {
  v1::EventHead head;
  head.set_tenant("acme");
  head.set_day(77);
  head.set_sequence(5);
  head.set_hash(std::string(32, 'a'));
  ASSERT_THAT(memory_.Raise(head, 1000, 3), IsOk());
  head.set_sequence(3);
  ASSERT_THAT(memory_.Raise(head, 2000, 3), IsOk());
  EXPECT_EQ(memory_.Recall("acme", 77)->sequence, 5u);
  EXPECT_EQ(memory_.Recall("acme", 77)->expires, 1000);
  head.set_sequence(5);
  head.set_hash(std::string(32, 'b'));
  EXPECT_THAT(memory_.Raise(head, 1000, 3), StatusIs(absl::StatusCode::kDataLoss, "HEAD_DIFFERS"));
  head.set_sequence(6);
  ASSERT_THAT(memory_.Raise(head, 500, 3), IsOk());
  EXPECT_EQ(memory_.Recall("acme", 77)->sequence, 6u);
  EXPECT_EQ(memory_.Recall("acme", 77)->expires, 1000) << "of the day's heads the latest";
  // As schema 9 wrote it.
  ASSERT_THAT(
      state_->Command({"HSET", "y:{acme}:archive:event-heads", "78", "2:" + std::string(64, '0')}),
      IsOk());
  EXPECT_EQ(memory_.Recall("acme", 78)->sequence, 2u);
  EXPECT_EQ(memory_.Recall("acme", 78)->expires, 0);
  EXPECT_EQ(memory_.Recall("acme", 78)->scheme, 3u) << "of releases that did not remember it";
}

TEST_F(ProofTest, ByWhichSchemesADayWasSealedIsForgottenWithItsHeads) {
  v1::EventHead head;
  head.set_tenant("acme");
  head.set_day(77);
  head.set_hash(std::string(32, 'a'));
  const auto scheme = [&] { return memory_.Recall("acme", 77)->scheme; };
  for (uint32_t sequence = 1; sequence < 4; ++sequence) {
    head.set_sequence(sequence);
    head.set_scheme(sequence == 2 ? 9 : 3);
    ASSERT_THAT(memory_.Raise(head, 1000, head.scheme()), IsOk());
    EXPECT_EQ(scheme(), sequence == 1 ? 3u : 9u);
  }
  EXPECT_EQ(memory_.RecallAll("acme")->at(77).scheme, 9u);
  ASSERT_THAT(memory_.Forget("acme", {77}), IsOk());
  EXPECT_EQ(scheme(), 3u);
}

TEST_F(ProofTest, WhatThisSuiteDidNotStoreIsNotSigned) {
  // Digest and all, for today and for another tenant's day that has nothing.
  const ProofStore forged(archive_.client);
  Insert("forged", "f", 2 * kEvents, kEvents, "acme", &forged);
  Insert("forged too", "g", 0, kEvents, "beta", &forged);
  Insert("three", "c", 4 * kEvents, kEvents);
  ASSERT_THAT(sealer_.Turn(), IsOk());
  EXPECT_EQ(sealer_.strange(), 2u);
  ASSERT_OK_AND_ASSIGN(const auto heads, store_.Heads("acme", day_));
  ASSERT_THAT(heads, SizeIs(2)) << "what is ours is sealed all the same";
  EXPECT_THAT(heads[1].units(), ElementsAre(UnitNumber("three")));
  EXPECT_THAT(store_.Heads("beta", day_).value(), IsEmpty());
  Run("ALTER TABLE yagura.event_units UPDATE stored = now() - 7200 WHERE 1");
  EXPECT_THAT(Flaws(), ElementsAre(v1::EventFlaw::UNIT_UNSEALED));
  EXPECT_THAT(Flaws("beta"), ElementsAre(v1::EventFlaw::UNIT_UNSEALED));
  EXPECT_THAT(ledger_.Noted({store_.Units("acme", day_)->at(UnitNumber("three"))}).value(),
              ElementsAre(false))
      << "what is sealed is forgotten";
}

TEST_F(ProofTest, AUnitThatWasChangedBeforeItWasSealedIsNotSigned) {
  Insert("three", "c", 2 * kEvents, kEvents);
  Run("ALTER TABLE yagura.event_units UPDATE expires = expires - 3600 WHERE unit = " +
      std::to_string(UnitNumber("three")));
  ASSERT_THAT(sealer_.Turn(), IsOk());
  EXPECT_EQ(sealer_.strange(), 1u);
  EXPECT_THAT(store_.Heads("acme", day_).value(), SizeIs(1));
}

TEST_F(ProofTest, WhatAReleaseWithoutALedgerStoredIsSealed) {
  ASSERT_THAT(state_->Command({"DEL", "y:{-}:archive:unit-ledger"}), IsOk());
  const ProofStore earlier(archive_.client);
  Insert("three", "c", 2 * kEvents, kEvents, "acme", &earlier);
  ASSERT_THAT(NewSealer()->Turn(), IsOk());
  EXPECT_THAT(store_.Heads("acme", day_).value(), SizeIs(2));
}

TEST_F(ProofTest, AnExpiryThatWasMovedIsTold) {
  Run("ALTER TABLE yagura.event_units UPDATE expires = toDateTime(1000) WHERE 1");
  Run("ALTER TABLE yagura.events DELETE WHERE id LIKE 'a-%'");
  EXPECT_THAT(Flaws(), Contains(v1::EventFlaw::UNIT_ALTERED));
}

TEST_F(ProofTest, HeadsOfSchema9AreVerifiedAndContinued) {
  InsertByScheme1("of beta", "y", 0, kEvents, "beta");
  SealByScheme(1, "beta");
  EXPECT_THAT(Flaws("beta"), IsEmpty());
  Insert("more of beta", "z", kEvents, kEvents, "beta");
  ASSERT_THAT(sealer_.Turn(), IsOk());
  EXPECT_THAT(Flaws("beta"), IsEmpty());
  ASSERT_OK_AND_ASSIGN(const auto heads, store_.Heads("beta", day_));
  ASSERT_THAT(heads, SizeIs(2));
  EXPECT_EQ(heads[0].scheme(), 1u);
  EXPECT_EQ(heads[1].scheme(), kHeadScheme);
}

TEST_F(ProofTest, WhatComesWhileWeLookIsNoFlaw) {
  // Its events are there, the digest is on its way.
  Insert("three", "c", 2 * kEvents, kEvents);
  const std::string ours = fmt::format("unit = {}", UnitNumber("three"));
  Run("CREATE TABLE yagura.waiting ENGINE = Memory AS SELECT * FROM yagura.event_units WHERE " +
      ours);
  Run("ALTER TABLE yagura.event_units DELETE WHERE " + ours);
  EXPECT_THAT(Flaws(), ElementsAre(v1::EventFlaw::EVENT_INSERTED)) << "it never comes";
  EventVerifier::Parts parts = VerifierParts();
  parts.progress_every = 1;
  EventVerifier verifier(parts, "acme", day_);
  bool come = false;
  const auto proof = verifier.Run({}, [&](const v1::DayProof&) {
    if (!come) Run("INSERT INTO yagura.event_units SELECT * FROM yagura.waiting");
    come = true;
    return absl::OkStatus();
  });
  ASSERT_THAT(proof, IsOk());
  EXPECT_THAT(proof->flaws(), IsEmpty()) << proof->DebugString();
  EXPECT_EQ(proof->verified_events(), 2u * kEvents);
}

TEST_F(ProofTest, AStoreThatEndsMidwayIsAnErrorAndNoMissingEvents) {
  // More than lies in buffers.
  constexpr int kBatches = 12;
  constexpr int kMany = 5'000;
  for (int i = 0; i < kBatches; ++i) {
    Insert(fmt::format("many {}", i), fmt::format("m{}", i), 2 * kEvents + i * kMany, kMany);
  }
  EventVerifier::Parts parts = VerifierParts();
  parts.progress_every = 1'000;
  EventVerifier verifier(parts, "acme", day_);
  bool stopped = false;
  const auto proof = verifier.Run({}, [&](const v1::DayProof&) {
    if (!stopped) archive_.store.KillHard();
    stopped = true;
    return absl::OkStatus();
  });
  EXPECT_TRUE(stopped);
  EXPECT_THAT(proof, StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ProofTest, WhatNobodySealedIsToldByWhenItWasStored) {
  Insert("three", "c", 2 * kEvents, kEvents);
  EXPECT_THAT(Flaws(), IsEmpty());
  const auto stored = [this](const std::string& when) {
    Run("ALTER TABLE yagura.event_units UPDATE stored = now() + " + when +
        fmt::format(" WHERE unit = {}", UnitNumber("three")));
  };
  stored("-3600");
  EXPECT_THAT(Flaws(), ElementsAre(v1::EventFlaw::UNIT_UNSEALED));
  stored("7200");
  EXPECT_THAT(Flaws(), ElementsAre(v1::EventFlaw::UNIT_UNSEALED)) << "in the future";
}

TEST_F(ProofTest, HeadsThatAreOverAreNotMissing) {
  Run("TRUNCATE TABLE yagura.events");
  Run("TRUNCATE TABLE yagura.event_units");
  Run("TRUNCATE TABLE yagura.event_heads");
  clock_->SetNow(BaseTime() + hours(24 * 450));
  EXPECT_THAT(Flaws(), ElementsAre(v1::EventFlaw::HEAD_MISSING)) << "it stays for 80 days more";
  clock_->SetNow(BaseTime() + hours(24 * 500));
  EXPECT_THAT(Flaws(), IsEmpty());
  holds_.push_back({{BaseTime(), BaseTime() + hours(1)}, BaseTime() + hours(24)});
  EXPECT_THAT(Flaws(), ElementsAre(v1::EventFlaw::HEAD_MISSING)) << "a hold keeps it";
}

TEST_F(ProofTest, HeadsThatAreOverAreDroppedAndForgotten) {
  clock_->SetNow(BaseTime() + hours(24 * 500));
  archive_.retention.SetHolds({{"acme", {{BaseTime(), BaseTime() + hours(1)}}}});
  ASSERT_THAT(NewSealer()->Turn(), IsOk());
  EXPECT_THAT(store_.Heads("acme", day_).value(), SizeIs(1)) << "a hold keeps them";
  archive_.retention.SetHolds({});
  // What the store says of how long they are kept does not count.
  Run("ALTER TABLE yagura.event_heads UPDATE kept = toDateTime(4102444800, 'UTC') WHERE 1");
  ASSERT_THAT(NewSealer()->Turn(), IsOk());
  EXPECT_THAT(store_.Heads("acme", day_).value(), IsEmpty());
  EXPECT_EQ(memory_.Recall("acme", day_)->sequence, 0u);
}

TEST_F(ProofTest, WhatAHoldKeepsIsVerifiedBeyondItsRetention) {
  clock_->SetNow(BaseTime() + hours(24 * 500));
  holds_.push_back({{BaseTime(), BaseTime() + std::chrono::seconds(10)},  // unit one
                    BaseTime() + hours(24)});
  v1::DayProof proof = Verify();
  EXPECT_THAT(proof.flaws(), IsEmpty()) << proof.DebugString();
  EXPECT_EQ(proof.verified_units(), 1u);
  EXPECT_EQ(proof.expired_units(), 1u);
  Run("ALTER TABLE yagura.events DELETE WHERE id IN ('a-17', 'b-17')");
  proof = Verify();
  ASSERT_THAT(proof.flaws(), SizeIs(1)) << proof.DebugString();
  EXPECT_EQ(proof.flaws(0).kind(), v1::EventFlaw::EVENT_MISSING);
  EXPECT_THAT(IdsOf(proof.flaws(0)), ElementsAre("a-16", "a-18"));
  holds_[0].since = BaseTime() + hours(24 * 450);
  EXPECT_THAT(Flaws(), IsEmpty()) << "they may have gone before they were held";
}

TEST_F(ProofTest, DigestsOfWhatIsHeldSayWhenItWouldGoOtherwise) {
  archive_.retention.SetHolds({{"acme", {{BaseTime(), BaseTime() + hours(1)}}}});
  Insert("three", "c", 2 * kEvents, kEvents);
  ASSERT_OK_AND_ASSIGN(const auto units, store_.Units("acme", day_));
  const EventUnit& unit = units.at(UnitNumber("three"));
  EXPECT_EQ(unit.kept, kHeldUntil);
  EXPECT_LT(unit.expires, kHeldUntil);
  ASSERT_THAT(sealer_.Turn(), IsOk());
  EXPECT_EQ(Number("SELECT toUInt64(toUnixTimestamp(max(kept))) FROM yagura.event_heads"),
            uint64_t{kHeldUntil});
  // Released again, it goes as it was signed to.
  archive_.retention.SetHolds({});
  Run("ALTER TABLE yagura.events DELETE WHERE id LIKE 'c-%'");
  clock_->SetNow(BaseTime() + hours(24 * 405));
  EXPECT_THAT(Flaws(), IsEmpty());
}

TEST_F(ProofTest, AnswersByDay) {
  const store::Store<v1::LegalHold> holds(state_, LegalHoldKind(), clock_);
  const ProofHandlers handlers(store_, memory_, ledger_, holds, trusted_, clock_);
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
