#include <string>
#include <vector>

#include "common/stream/leased_cursor.h"
#include "tests/unit/common/stream/stream_fixture.h"

namespace yagura::stream {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;

constexpr milliseconds kNoWait(0);
constexpr size_t kMegabyte = 1 << 20;

class LeasedCursorTest : public StreamTest {};

TEST_F(LeasedCursorTest, ReadsInOrderAndTheNextHolderGoesOnWhereItCommitted) {
  AppendMany(5);
  {
    ASSERT_OK_AND_ASSIGN(LeasedCursor cursor, Acquire("one"));
    ASSERT_OK_AND_ASSIGN(const auto first, cursor.Read(2, kMegabyte, kNoWait));
    EXPECT_THAT(Keys(first), ElementsAre("k0", "k1"));
    EXPECT_EQ(first[0].payload, "payload of k0");
    ASSERT_OK_AND_ASSIGN(const auto second, cursor.Read(2, kMegabyte, kNoWait));
    EXPECT_THAT(Keys(second), ElementsAre("k2", "k3"));
    ASSERT_THAT(cursor.Commit(second[0].id), IsOk());
    EXPECT_EQ(cursor.committed(), second[0].id);
    EXPECT_EQ(cursor.position(), second[1].id);
    ASSERT_THAT(cursor.Release(), IsOk());
  }
  ASSERT_OK_AND_ASSIGN(LeasedCursor next, Acquire("two"));
  ASSERT_OK_AND_ASSIGN(const auto rest, next.Read(10, kMegabyte, kNoWait));
  EXPECT_THAT(Keys(rest), ElementsAre("k3", "k4"));
  EXPECT_EQ(next.epoch(), 2U);
}

TEST_F(LeasedCursorTest, OneHolderAtATimeForEachShardAndReader) {
  ASSERT_OK_AND_ASSIGN(const LeasedCursor first, Acquire("one"));
  EXPECT_THAT(Acquire("two"), StatusIs(absl::StatusCode::kUnavailable, "LEASE_HELD"));
  EXPECT_THAT(Acquire("two", 1), IsOk());
  EXPECT_THAT(Acquire("two", 0, "detection"), IsOk());
}

TEST_F(LeasedCursorTest, AStaleHolderThatWakesUpLateIsFencedOff) {
  AppendMany(4);
  ASSERT_OK_AND_ASSIGN(LeasedCursor stale, Acquire("one"));
  ASSERT_OK_AND_ASSIGN(const auto old, stale.Read(4, kMegabyte, kNoWait));
  ASSERT_THAT(old, SizeIs(4));
  LetLeaseRunOut(*flow_, topic_, 0, "archive");
  ASSERT_OK_AND_ASSIGN(LeasedCursor next, Acquire("two"));
  ASSERT_OK_AND_ASSIGN(const auto entries, next.Read(2, kMegabyte, kNoWait));
  ASSERT_THAT(next.Commit(entries[1].id), IsOk());

  EXPECT_THAT(stale.Commit(old[3].id), StatusIs(absl::StatusCode::kAborted, "LEASE_LOST"));
  EXPECT_THAT(stale.Read(1, kMegabyte, kNoWait),
              StatusIs(absl::StatusCode::kAborted, "LEASE_LOST"));
  EXPECT_THAT(stale.Renew(), StatusIs(absl::StatusCode::kAborted, "LEASE_LOST"));
  EXPECT_THAT(stale.CommitDeadLetter(old[2].id, absl::InternalError("x")),
              StatusIs(absl::StatusCode::kAborted, "LEASE_LOST"));
  ASSERT_THAT(stale.Release(), IsOk());  // does not take the lease away from the other

  EXPECT_THAT(Acquire("three"), StatusIs(absl::StatusCode::kUnavailable, "LEASE_HELD"));
  ASSERT_OK_AND_ASSIGN(const auto rest, next.Read(9, kMegabyte, kNoWait));
  EXPECT_THAT(Keys(rest), ElementsAre("k2", "k3"));
}

TEST_F(LeasedCursorTest, WhoComesAgainUnderItsOldNameTakesOverAtOnceAndFencesItselfOff) {
  const auto ids = AppendMany(3);
  ASSERT_OK_AND_ASSIGN(LeasedCursor before, Acquire("suite/archive"));
  ASSERT_OK_AND_ASSIGN(const auto read, before.Read(3, 1 << 20, milliseconds(0)));
  ASSERT_THAT(before.Commit(ids[0]), IsOk());
  // Killed, it seems, and started again: the lease has 60 s to run.
  ASSERT_OK_AND_ASSIGN(LeasedCursor after, Acquire("suite/archive"));
  EXPECT_GT(after.epoch(), before.epoch());
  EXPECT_EQ(after.committed(), ids[0]);
  ASSERT_THAT(after.Commit(ids[1]), IsOk());
  // But it was alive all the time.
  EXPECT_THAT(before.Commit(ids[2]), StatusIs(absl::StatusCode::kAborted, "LEASE_LOST"));
  EXPECT_THAT(before.Renew(), StatusIs(absl::StatusCode::kAborted, "LEASE_LOST"));
  ASSERT_THAT(before.Release(), IsOk());
  EXPECT_THAT(after.Commit(ids[2]), IsOk());
  EXPECT_THAT(Acquire("other/archive"), StatusIs(absl::StatusCode::kUnavailable, "LEASE_HELD"));
}

TEST_F(LeasedCursorTest, ALeaseThatRanOutAndNobodyTookGoesOn) {
  AppendMany(1);
  ASSERT_OK_AND_ASSIGN(LeasedCursor cursor, Acquire("one"));
  ASSERT_OK_AND_ASSIGN(const auto entries, cursor.Read(1, kMegabyte, kNoWait));
  LetLeaseRunOut(*flow_, topic_, 0, "archive");
  EXPECT_THAT(cursor.Commit(entries[0].id), IsOk());
  EXPECT_THAT(Acquire("two"), StatusIs(absl::StatusCode::kUnavailable, "LEASE_HELD"));
}

TEST_F(LeasedCursorTest, TheLeaseRunsOutByRedisOwnClock) {
  ASSERT_OK_AND_ASSIGN(const LeasedCursor cursor, Acquire("one", 0, "archive", milliseconds(30)));
  EXPECT_TRUE(Eventually([&] { return Acquire("two").ok(); }));
}

TEST_F(LeasedCursorTest, TheCommittedPlaceNeverMovesBack) {
  const auto ids = AppendMany(3);
  ASSERT_OK_AND_ASSIGN(LeasedCursor cursor, Acquire("one"));
  ASSERT_THAT(cursor.Read(3, kMegabyte, kNoWait), IsOk());
  ASSERT_THAT(cursor.Commit(ids[2]), IsOk());
  ASSERT_THAT(cursor.Commit(ids[0]), IsOk());
  EXPECT_EQ(cursor.committed(), ids[2]);
  ASSERT_THAT(cursor.Release(), IsOk());
  ASSERT_OK_AND_ASSIGN(LeasedCursor next, Acquire("two"));
  EXPECT_EQ(next.committed(), ids[2]);
  EXPECT_THAT(next.Commit({ids[2].milliseconds + 1000, 0}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(LeasedCursorTest, RewindRepeatsWhatWasNotCommitted) {
  const auto ids = AppendMany(3);
  ASSERT_OK_AND_ASSIGN(LeasedCursor cursor, Acquire("one"));
  ASSERT_THAT(cursor.Read(3, kMegabyte, kNoWait), IsOk());
  ASSERT_THAT(cursor.Commit(ids[0]), IsOk());
  cursor.Rewind();
  ASSERT_OK_AND_ASSIGN(const auto again, cursor.Read(3, kMegabyte, kNoWait));
  EXPECT_THAT(Keys(again), ElementsAre("k1", "k2"));
}

TEST_F(LeasedCursorTest, KeepsToTheBytesAskedForButHandsOutAtLeastOne) {
  for (int i = 0; i < 6; ++i) {
    ASSERT_THAT(producer_->Append(0, fmt::format("k{}", i), std::string(1000, 'x')), IsOk());
  }
  ASSERT_OK_AND_ASSIGN(LeasedCursor cursor, Acquire("one"));
  std::vector<std::string> keys;
  for (const size_t bytes : {10UL, 2500UL, 1'000'000UL, 1'000'000UL}) {
    ASSERT_OK_AND_ASSIGN(const auto entries, cursor.Read(100, bytes, kNoWait));
    EXPECT_LE(entries.size(), std::max<size_t>(bytes / 1000, 1));
    for (const std::string& key : Keys(entries)) keys.push_back(key);
  }
  EXPECT_THAT(keys, ElementsAre("k0", "k1", "k2", "k3", "k4", "k5"));
}

TEST_F(LeasedCursorTest, WaitsForTheFirstEntry) {
  ASSERT_OK_AND_ASSIGN(LeasedCursor cursor, Acquire("one"));
  EXPECT_THAT(cursor.Read(1, kMegabyte, milliseconds(20)), IsOk());
  std::thread writer([this] { AppendMany(1); });
  ASSERT_OK_AND_ASSIGN(const auto entries, cursor.Read(1, kMegabyte, milliseconds(20'000)));
  EXPECT_THAT(Keys(entries), ElementsAre("k0"));
  writer.join();
}

TEST_F(LeasedCursorTest, RepeatsAPlannedRangeExactly) {
  const auto ids = AppendMany(200);
  ASSERT_OK_AND_ASSIGN(LeasedCursor cursor, Acquire("one"));
  ASSERT_OK_AND_ASSIGN(const auto planned, cursor.ReadRange(ids[10], ids[150]));
  ASSERT_THAT(planned, SizeIs(141));
  EXPECT_EQ(planned.front().id, ids[10]);
  EXPECT_EQ(planned.back().id, ids[150]);
  ASSERT_THAT(cursor.Commit(ids[150]), IsOk());
  EXPECT_EQ(Lag("archive"), 49U);
  ASSERT_OK_AND_ASSIGN(const auto rest, cursor.Read(1, kMegabyte, kNoWait));
  EXPECT_THAT(Keys(rest), ElementsAre("k151"));
}

TEST_F(LeasedCursorTest, TheLagIsExactAlsoForReadersDeclaredLate) {
  const auto ids = AppendMany(10);
  ASSERT_OK_AND_ASSIGN(LeasedCursor cursor, Acquire("one"));
  EXPECT_EQ(Lag("archive"), 10U);
  ASSERT_THAT(cursor.Read(7, kMegabyte, kNoWait), IsOk());
  ASSERT_THAT(cursor.Commit(ids[3]), IsOk());
  EXPECT_EQ(Lag("archive"), 6U);
  ASSERT_THAT(cursor.Commit(ids[6]), IsOk());
  EXPECT_EQ(Lag("archive"), 3U);
  ASSERT_THAT(flow_->Command({"XTRIM", StreamKey("events", 0), "MINID", ids[5].ToString()}),
              IsOk());
  EXPECT_EQ(Lag("archive"), 3U);
  ASSERT_OK_AND_ASSIGN(LeasedCursor late, Acquire("one", 0, "detection"));
  EXPECT_EQ(Lag("detection"), 5U);
  ASSERT_THAT(late.Commit(ids[7]), IsOk());  // without having read
  EXPECT_EQ(Lag("detection"), 2U);
}

TEST_F(LeasedCursorTest, ACommitWhoseAnswerWasLostIsFoundOut) {
  const auto ids = AppendMany(6);
  ASSERT_OK_AND_ASSIGN(LeasedCursor cursor, Acquire("one"));
  ASSERT_THAT(cursor.Read(6, kMegabyte, kNoWait), IsOk());
  // As if Commit(ids[1]) had been done and its answer never arrived.
  ASSERT_THAT(flow_->Command({"XGROUP", "SETID", StreamKey("events", 0), "archive",
                              ids[1].ToString(), "ENTRIESREAD", "2"}),
              IsOk());
  ASSERT_THAT(cursor.Commit(ids[3]), IsOk());
  EXPECT_EQ(cursor.committed(), ids[3]);
  EXPECT_EQ(Lag("archive"), 2U);
}

TEST_F(LeasedCursorTest, ADeadLetterKeepsTheEntryAndTheError) {
  const auto ids = AppendMany(2);
  ASSERT_OK_AND_ASSIGN(LeasedCursor cursor, Acquire("one"));
  ASSERT_THAT(cursor.Read(1, kMegabyte, kNoWait), IsOk());
  ASSERT_THAT(cursor.CommitDeadLetter(ids[0], absl::InternalError("cannot be read")), IsOk());
  ASSERT_THAT(cursor.CommitDeadLetter(ids[0], absl::InternalError("cannot be read")), IsOk());
  ASSERT_OK_AND_ASSIGN(const redis::Reply dead,
                       flow_->Command({"XRANGE", DeadLetterKey("events", 0), "-", "+"}));
  ASSERT_THAT(dead.items, SizeIs(1));
  std::vector<std::string> fields;
  for (const redis::Reply& field : dead.items[0].items[1].items) fields.push_back(field.text);
  EXPECT_THAT(fields, ElementsAre("id", ids[0].ToString(), "reader", "archive", "error",
                                  "INTERNAL: cannot be read", "k", "k0", "p", "payload of k0"));
  EXPECT_EQ(cursor.committed(), ids[0]);
  EXPECT_EQ(Lag("archive"), 1U);
}

TEST_F(LeasedCursorTest, DeadPiecesAndTheCommitAreOneAndHappenOnce) {
  const auto ids = AppendMany(3);
  ASSERT_OK_AND_ASSIGN(LeasedCursor cursor, Acquire("one"));
  ASSERT_THAT(cursor.Read(3, kMegabyte, kNoWait), IsOk());
  const std::vector<DeadPiece> pieces = {{"b1-3", "three", absl::InternalError("is bad")},
                                         {"b1-5", "five", absl::InternalError("too")}};
  ASSERT_THAT(cursor.CommitDeadPieces(ids[1], pieces), IsOk());
  ASSERT_THAT(cursor.CommitDeadPieces(ids[1], pieces), IsOk());
  ASSERT_OK_AND_ASSIGN(LeasedCursor next, Acquire("one"));
  EXPECT_THAT(cursor.CommitDeadPieces(ids[2], pieces),
              StatusIs(absl::StatusCode::kAborted, "LEASE_LOST"));
  EXPECT_EQ(next.committed(), ids[1]);
  ASSERT_THAT(next.CommitDeadPieces(ids[2], {}), IsOk());
  EXPECT_EQ(Lag("archive"), 0U);
  ASSERT_OK_AND_ASSIGN(const redis::Reply dead,
                       flow_->Command({"XRANGE", DeadLetterKey("events", 0), "-", "+"}));
  ASSERT_THAT(dead.items, SizeIs(2));
  std::vector<std::string> fields;
  for (const redis::Reply& field : dead.items[1].items[1].items) fields.push_back(field.text);
  EXPECT_THAT(fields, ElementsAre("id", ids[1].ToString(), "reader", "archive", "error",
                                  "INTERNAL: too", "k", "b1-5", "p", "five"));
}

TEST_F(LeasedCursorTest, DeadLettersAreBoundedTheOldestGoAndAreCounted) {
  AppendMany(3);
  ASSERT_OK_AND_ASSIGN(LeasedCursor cursor, Acquire("one"));
  ASSERT_OK_AND_ASSIGN(const auto entries, cursor.Read(3, kMegabyte, kNoWait));
  const auto kept = [this] {
    std::vector<std::string> keys;
    const auto dead = flow_->Command({"XRANGE", DeadLetterKey("events", 0), "-", "+"});
    for (const auto& letter : dead->items) keys.push_back(letter.items[1].items[7].text);
    return keys;
  };
  const auto size = [this](const std::string& field) {
    const auto reply = flow_->Command({"HGET", DeadLetterSizeKey("events", 0), field});
    return reply.ok() ? reply->text : "";
  };
  // By number.
  std::vector<DeadPiece> pieces;
  for (int i = 0; i < kMaxDeadLetters + 5; ++i)
    pieces.push_back({fmt::format("{}", i), "x", absl::InternalError("e")});
  ASSERT_THAT(cursor.CommitDeadPieces(entries[0].id, pieces), IsOk());
  EXPECT_THAT(kept(), SizeIs(kMaxDeadLetters));
  EXPECT_EQ(kept().front(), "5");
  EXPECT_EQ(size("dropped"), "5");
  // By bytes, whatever one alone has.
  pieces.assign(
      3, {"large", std::string(kMaxDeadLetterBytes / 2 - 1000, 'x'), absl::InternalError("e")});
  ASSERT_THAT(cursor.CommitDeadPieces(entries[1].id, pieces), IsOk());
  EXPECT_THAT(kept(), ElementsAre("large", "large"));
  pieces.assign(1, {"huge", std::string(kMaxDeadLetterBytes + 1, 'x'), absl::InternalError("e")});
  ASSERT_THAT(cursor.CommitDeadPieces(entries[2].id, pieces), IsOk());
  EXPECT_THAT(kept(), ElementsAre("huge"));
  EXPECT_EQ(size("dropped"), fmt::format("{}", 5 + kMaxDeadLetters + 1 + 2));
  // Removing counts too.
  ASSERT_OK_AND_ASSIGN(const auto dead,
                       flow_->Command({"XRANGE", DeadLetterKey("events", 0), "-", "+"}));
  const std::string id = dead.items[0].items[0].text;
  for (const int removed : {1, 0}) {
    ASSERT_OK_AND_ASSIGN(auto connection, flow_->Acquire());
    ASSERT_OK_AND_ASSIGN(
        const redis::Reply reply,
        RemoveDeadLetterScript().Run(
            *connection, {DeadLetterKey("events", 0), DeadLetterSizeKey("events", 0)}, {id}));
    EXPECT_EQ(reply.integer, removed);
  }
  EXPECT_THAT(kept(), SizeIs(0));
  EXPECT_EQ(size("bytes"), "0");
}

TEST_F(LeasedCursorTest, DrainsWhileRedisIsAtItsMemoryLimit) {
  const auto ids = AppendMany(3);
  ASSERT_OK_AND_ASSIGN(LeasedCursor other, Acquire("one", 0, "detection"));
  ASSERT_THAT(flow_->Command({"CONFIG", "SET", "maxmemory", "1"}), IsOk());
  ASSERT_OK_AND_ASSIGN(LeasedCursor cursor, Acquire("one"));
  EXPECT_THAT(cursor.Read(3, kMegabyte, kNoWait), IsOk());
  EXPECT_THAT(cursor.Commit(ids[2]), IsOk());
  EXPECT_THAT(other.Commit(ids[2]), IsOk());
  Trimmer trimmer(flow_, {topic_}, milliseconds(1000), Logger::Null());
  ASSERT_OK_AND_ASSIGN(const uint64_t trimmed, trimmer.TrimOnce());
  EXPECT_EQ(trimmed, 3U);
  ASSERT_THAT(flow_->Command({"CONFIG", "SET", "maxmemory", "0"}), IsOk());
}

TEST_F(LeasedCursorTest, AnEntryThatNoProducerWroteGetsThrough) {
  ASSERT_THAT(flow_->Command({"XADD", StreamKey("events", 0), "5-1", "other", "thing"}), IsOk());
  ASSERT_OK_AND_ASSIGN(LeasedCursor cursor, Acquire("one"));
  ASSERT_OK_AND_ASSIGN(const auto entries, cursor.Read(3, kMegabyte, kNoWait));
  EXPECT_THAT(Keys(entries), ElementsAre("5-1"));
  EXPECT_THAT(entries[0].payload, IsEmpty());
}

TEST_F(LeasedCursorTest, ARemovedReaderCannotCommit) {
  const auto ids = AppendMany(1);
  ASSERT_OK_AND_ASSIGN(LeasedCursor cursor, Acquire("one"));
  ASSERT_THAT(cursor.Read(1, kMegabyte, kNoWait), IsOk());
  ASSERT_THAT(RemoveReader(*flow_, topic_, "archive"), IsOk());
  EXPECT_THAT(cursor.Commit(ids[0]), StatusIs(absl::StatusCode::kFailedPrecondition, "NO_READER"));
}

TEST_F(LeasedCursorTest, GoesOnAfterTheServerWasKilledAndRestarted) {
  const auto ids = AppendMany(4);
  ASSERT_OK_AND_ASSIGN(LeasedCursor cursor, Acquire("one"));
  ASSERT_THAT(cursor.Read(2, kMegabyte, kNoWait), IsOk());
  ASSERT_THAT(cursor.Commit(ids[0]), IsOk());
  server_->KillHard();
  EXPECT_THAT(cursor.Commit(ids[1]), StatusIs(absl::StatusCode::kUnavailable));
  server_->Restart();
  ASSERT_THAT(cursor.Commit(ids[1]), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto rest, cursor.Read(9, kMegabyte, kNoWait));
  EXPECT_THAT(Keys(rest), ElementsAre("k2", "k3"));
  EXPECT_THAT(Acquire("two"), StatusIs(absl::StatusCode::kUnavailable, "LEASE_HELD"));
}

}  // namespace
}  // namespace yagura::stream
