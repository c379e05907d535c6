// What the state Redis knows of units against what the event store has: units that are gone before
// they were sealed, that are there twice, and events without any.
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "proof_fixture.h"

namespace yagura::archive {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;

class UnitLedgerTest : public ProofTest {
 protected:
  // As a release that makes no digests does, or whoever can write the event store alone.
  void InsertWithoutUnit(const std::string& token, int first, const std::string& tenant) {
    const RangeInserter inserter(archive_.client, archive_.table, archive_.retention);
    RangeData range;
    range.plan.set_token(token);
    range.entries.push_back({{1, 0}, token, MakeBatch(tenant, token, first, kEvents)});
    ASSERT_THAT(inserter.Insert(range), IsOk());
  }
  // Events of the batch "c" and their digest, which were just stored.
  void DeleteThree() {
    Run("ALTER TABLE yagura.events DELETE WHERE id LIKE 'c-%'");
    Run(fmt::format("ALTER TABLE yagura.event_units DELETE WHERE unit = {}", UnitNumber("three")));
  }
  // A digest of the same number as that of "three", of which nobody noted anything.
  void ForgeAnotherThree(const std::string& digest) {
    Run(
        fmt::format("INSERT INTO yagura.event_units SELECT * REPLACE({} AS digest) FROM (SELECT * "
                    "FROM yagura.event_units WHERE unit = {})",
                    digest, UnitNumber("three")));
  }
};

TEST_F(UnitLedgerTest, AUnitThatIsGoneBeforeItWasSealedIsMissed) {
  Insert("three", "c", 2 * kEvents, kEvents);
  DeleteThree();
  ASSERT_THAT(sealer_.Turn(), IsOk());
  clock_->Advance(minutes(31));
  const v1::DayProof proof = Verify();
  ASSERT_THAT(proof.flaws(), SizeIs(1)) << proof.DebugString();
  EXPECT_EQ(proof.flaws(0).kind(), v1::EventFlaw::UNIT_MISSING);
  EXPECT_EQ(proof.flaws(0).unit(), fmt::format("{:016x}", UnitNumber("three")));
}

TEST_F(UnitLedgerTest, TheSealerTellsOfUnitsThatAreMissed) {
  Insert("three", "c", 2 * kEvents, kEvents);
  Insert("four", "d", 4 * kEvents, kEvents);
  DeleteThree();
  ASSERT_THAT(sealer_.Turn(), IsOk());
  EXPECT_EQ(sealer_.missing(), 0u) << "stored just now";
  clock_->Advance(minutes(61));
  ASSERT_THAT(sealer_.Turn(), IsOk());
  EXPECT_EQ(sealer_.missing(), 1u);
  ASSERT_THAT(state_->Command({"DEL", fmt::format("y:{{acme}}:archive:units-stored:{}", day_)}),
              IsOk());
  clock_->Advance(minutes(61));
  ASSERT_THAT(sealer_.Turn(), IsOk());
  EXPECT_EQ(sealer_.missing(), 0u) << "over";
  EXPECT_THAT(ledger_.Days("acme").value(), IsEmpty());
}

TEST_F(UnitLedgerTest, WhatTheWatchCannotReadKeepsNothingFromBeingSealed) {
  const std::string key = fmt::format("y:{{acme}}:archive:units-stored:{}", day_);
  Insert("three", "c", 2 * kEvents, kEvents);
  ASSERT_THAT(state_->Command({"HSET", key, "no number", "nothing"}), IsOk());
  clock_->Advance(minutes(61));
  EXPECT_FALSE(sealer_.Turn().ok()) << "it is told";
  ASSERT_THAT(state_->Command({"HDEL", key, "no number"}), IsOk());
  EXPECT_THAT(Flaws(), IsEmpty()) << "and the unit is sealed";
}

TEST_F(UnitLedgerTest, AUnitThatWasNotedAndNeverStoredIsNotMissed) {
  // As who was killed between the two leaves it, with another expiry than when it is stored.
  ASSERT_OK_AND_ASSIGN(auto units, store_.Units("acme", day_));
  EventUnit unit = units.begin()->second;
  unit.number = UnitNumber("three");
  unit.expires += 86'400;
  ASSERT_THAT(ledger_.Note({unit}), IsOk());
  clock_->Advance(minutes(61));
  EXPECT_THAT(Flaws(), IsEmpty());
  Insert("three", "c", 2 * kEvents, kEvents);
  ASSERT_THAT(sealer_.Turn(), IsOk());
  clock_->Advance(minutes(61));
  ASSERT_THAT(sealer_.Turn(), IsOk());
  EXPECT_THAT(Flaws(), IsEmpty());
  EXPECT_EQ(sealer_.missing(), 0u);
  EXPECT_EQ(sealer_.strange(), 0u);
}

TEST_F(UnitLedgerTest, AUnitThatIsStoredAgainOnceItIsSealedIsNotMissed) {
  EXPECT_THAT(ledger_.Stored("acme", day_).value(), IsEmpty()) << "sealed and forgotten";
  Insert("one", "a", 0, kEvents);
  EXPECT_THAT(ledger_.Stored("acme", day_).value(), SizeIs(1));
  clock_->Advance(minutes(61));
  ASSERT_THAT(sealer_.Turn(), IsOk());
  EXPECT_EQ(sealer_.missing(), 0u);
  EXPECT_THAT(Flaws(), IsEmpty());
  // Or sealed between being stored and being told to be.
  ASSERT_OK_AND_ASSIGN(const auto units, store_.Units("acme", day_));
  ASSERT_THAT(ledger_.NoteStored({units.at(UnitNumber("two"))}), IsOk());
  EXPECT_THAT(ledger_.Stored("acme", day_).value(), SizeIs(1));
}

TEST_F(UnitLedgerTest, AUnitIsMissedForAsLongAsItsDigestStays) {
  Insert("three", "c", 2 * kEvents, kEvents);
  ASSERT_OK_AND_ASSIGN(const auto units, store_.Units("acme", day_));
  const TimePoint over =
      TimePoint(std::chrono::seconds(units.at(UnitNumber("three")).expires)) + kUnitsOutlive;
  DeleteThree();
  const auto key = fmt::format("y:{{acme}}:archive:units-stored:{}", day_);
  ASSERT_OK_AND_ASSIGN(const auto kept, state_->Command({"EXPIRETIME", key}));
  EXPECT_EQ(TimePoint(std::chrono::seconds(kept.integer)), over);
  clock_->SetNow(over - hours(2));
  EXPECT_THAT(Flaws(), ElementsAre(v1::EventFlaw::UNIT_MISSING));
  clock_->SetNow(over);
  EXPECT_THAT(Flaws(), IsEmpty());
  holds_.push_back({{BaseTime(), BaseTime() + hours(1)}, over - hours(24)});
  EXPECT_THAT(Flaws(), ElementsAre(v1::EventFlaw::UNIT_MISSING)) << "a hold keeps it";
}

TEST_F(UnitLedgerTest, AUnitIsMissedWhereTheWholeDayIsGoneOrWasNeverSealed) {
  Insert("of beta", "y", 0, kEvents, "beta");
  Run("ALTER TABLE yagura.events DELETE WHERE tenant = 'beta'");
  Run("ALTER TABLE yagura.event_units DELETE WHERE tenant = 'beta'");
  clock_->Advance(minutes(31));
  EXPECT_THAT(Flaws("beta"), ElementsAre(v1::EventFlaw::UNIT_MISSING));
}

// Whichever of the two the store gives first.
class DoubledUnitTest : public UnitLedgerTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(DoubledUnitTest, ADigestOfTheSameNumberIsStrangeAndTold) {
  Insert("three", "c", 2 * kEvents, kEvents);
  ForgeAnotherThree(GetParam());
  ASSERT_THAT(sealer_.Turn(), IsOk());
  EXPECT_EQ(sealer_.strange(), 1u);
  ASSERT_OK_AND_ASSIGN(const auto heads, store_.Heads("acme", day_));
  ASSERT_THAT(heads, SizeIs(2)) << "what is ours is sealed all the same";
  EXPECT_THAT(heads[1].units(), ElementsAre(UnitNumber("three")));
  const v1::DayProof proof = Verify();
  const auto told =
      std::find_if(proof.flaws().begin(), proof.flaws().end(), [](const v1::EventFlaw& flaw) {
        return flaw.kind() == v1::EventFlaw::UNIT_ALTERED &&
               flaw.unit() == fmt::format("{:016x}", UnitNumber("three"));
      });
  EXPECT_NE(told, proof.flaws().end()) << proof.DebugString();
}

INSTANTIATE_TEST_SUITE_P(Both, DoubledUnitTest,
                         ::testing::Values("unhex(repeat('00', 32))", "unhex(repeat('ff', 32))"));

TEST_F(UnitLedgerTest, ADigestThatLiesThereTwiceIsSignedOnce) {
  Insert("three", "c", 2 * kEvents, kEvents);
  ForgeAnotherThree("digest");
  ASSERT_THAT(sealer_.Turn(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto heads, store_.Heads("acme", day_));
  ASSERT_THAT(heads, SizeIs(2));
  EXPECT_THAT(heads[1].units(), ElementsAre(UnitNumber("three")));
  EXPECT_EQ(heads[1].event_count(), uint64_t{kEvents});
}

TEST_F(UnitLedgerTest, TheNumberOfEventsInAHeadIsSigned) {
  Run("ALTER TABLE yagura.event_heads UPDATE rows = rows + 1 WHERE 1");
  EXPECT_THAT(Flaws(), Contains(v1::EventFlaw::HEAD_ALTERED));
  Run("TRUNCATE TABLE yagura.event_units");
  Run("TRUNCATE TABLE yagura.events");
  EXPECT_THAT(Flaws(), Contains(v1::EventFlaw::HEAD_ALTERED)) << "also without the digests";
}

TEST_F(UnitLedgerTest, TheNumberOfEventsInAHeadOfSchema9IsThatOfItsUnits) {
  InsertByScheme1("of beta", "y", 0, kEvents, "beta");
  SealByScheme(1, "beta");
  ASSERT_THAT(Flaws("beta"), IsEmpty());
  Run("ALTER TABLE yagura.event_heads UPDATE rows = rows + 1 WHERE tenant = 'beta'");
  EXPECT_THAT(Flaws("beta"), ElementsAre(v1::EventFlaw::HEAD_ALTERED));
}

TEST_F(UnitLedgerTest, OnceDigestsAreMadeNothingIsThereWithout) {
  InsertWithoutUnit("forged day", 0, "beta");
  v1::DayProof proof = Verify("beta");
  ASSERT_THAT(proof.flaws(), SizeIs(1)) << proof.DebugString();
  EXPECT_EQ(proof.flaws(0).kind(), v1::EventFlaw::EVENT_INSERTED);
  EXPECT_EQ(proof.unproven_events(), 0u);
  // Also in the first minutes of a day, where a release before could have been.
  InsertWithoutUnit("forged minute", 2 * kEvents, "acme");
  EXPECT_THAT(Flaws(), ElementsAre(v1::EventFlaw::EVENT_INSERTED));
}

TEST_F(UnitLedgerTest, WhatAReleaseWithoutDigestsStoredIsUnproven) {
  // As at the first start after it: the state Redis knows nothing.
  ASSERT_THAT(state_->Command({"DEL", "y:{-}:archive:proven-since"}), IsOk());
  InsertWithoutUnit("earlier", 0, "beta");
  EXPECT_THAT(Flaws("beta"), IsEmpty()) << "before the first start is through";
  clock_->SetNow(BaseTime() + minutes(1));
  const auto sealer = NewSealer();
  ASSERT_THAT(sealer->Turn(), IsOk());
  v1::DayProof proof = Verify("beta");
  EXPECT_THAT(proof.flaws(), IsEmpty()) << proof.DebugString();
  EXPECT_EQ(proof.unproven_events(), uint64_t{kEvents});
  // From then on it is no release any more, whatever that day has.
  InsertWithoutUnit("later", 200'000, "beta");
  clock_->Advance(hours(1));
  ASSERT_THAT(NewSealer()->Turn(), IsOk()) << "another start changes nothing";
  proof = Verify("beta");
  ASSERT_THAT(proof.flaws(), SizeIs(1)) << proof.DebugString();
  EXPECT_EQ(proof.flaws(0).kind(), v1::EventFlaw::EVENT_INSERTED);
  EXPECT_THAT(IdsOf(proof.flaws(0)), Each(::testing::StartsWith("later-")));
  EXPECT_EQ(proof.unproven_events(), uint64_t{kEvents});
}

TEST_F(UnitLedgerTest, AClockThatWasAheadHidesNothing) {
  const TimePoint now = clock_->Now();
  clock_->SetNow(now + hours(24));
  ASSERT_THAT(sealer_.Turn(), IsOk());
  Insert("three", "c", 2 * kEvents, kEvents);
  ASSERT_THAT(sealer_.Turn(), IsOk());
  EXPECT_THAT(store_.Heads("acme", day_).value(), SizeIs(2)) << "while it is ahead";
  clock_->SetNow(now);
  Insert("four", "d", 4 * kEvents, kEvents);
  ASSERT_THAT(sealer_.Turn(), IsOk());
  EXPECT_THAT(store_.Heads("acme", day_).value(), SizeIs(3)) << "once it is right again";
}

TEST_F(UnitLedgerTest, AClockThatIsPutBackHasTheSealerLookBack) {
  Insert("three", "c", 2 * kEvents, kEvents);
  Run(fmt::format("ALTER TABLE yagura.event_units UPDATE stored = now() - 10800 WHERE unit = {}",
                  UnitNumber("three")));
  ASSERT_THAT(sealer_.Turn(), IsOk());
  ASSERT_THAT(store_.Heads("acme", day_).value(), SizeIs(1)) << "stored before what it looks at";
  clock_->SetNow(clock_->Now() - hours(4));
  ASSERT_THAT(sealer_.Turn(), IsOk());
  EXPECT_THAT(store_.Heads("acme", day_).value(), SizeIs(2));
}

}  // namespace
}  // namespace yagura::archive
