#include <string>

#include "tests/unit/common/stream/stream_fixture.h"

namespace yagura::stream {
namespace {

using testing::IsOk;

class TrimmerTest : public StreamTest {
 protected:
  uint64_t Trim() {
    const auto trimmed = trimmer_.TrimOnce();
    EXPECT_THAT(trimmed, IsOk());
    return trimmed.value_or(0);
  }
  void CommitAs(const std::string& reader, EntryId id, int shard = 0) {
    auto cursor = Acquire("holder", shard, reader);
    ASSERT_THAT(cursor, IsOk());
    ASSERT_THAT(cursor->Commit(id), IsOk());
    ASSERT_THAT(cursor->Release(), IsOk());
  }
  Trimmer trimmer_{flow_, {topic_}, milliseconds(10), Logger::Null()};
};

TEST_F(TrimmerTest, RemovesWhatAllReadersHaveCommittedAndNothingElse) {
  ASSERT_THAT(DeclareReaders(*flow_, topic_), IsOk());
  const auto ids = AppendMany(300);
  EXPECT_EQ(Trim(), 0U);
  CommitAs("archive", ids[199]);
  EXPECT_EQ(Trim(), 0U);
  CommitAs("detection", ids[149]);
  EXPECT_EQ(Trim(), 150U);
  ASSERT_OK_AND_ASSIGN(LeasedCursor detection, Acquire("one", 0, "detection"));
  ASSERT_OK_AND_ASSIGN(const auto next, detection.Read(1, 1 << 20, milliseconds(0)));
  EXPECT_EQ(next.at(0).id, ids[150]);
  EXPECT_EQ(Lag("archive"), 100U);
  EXPECT_EQ(Lag("detection"), 150U);
  CommitAs("archive", ids[299]);
  ASSERT_THAT(detection.Commit(ids[299]), IsOk());
  EXPECT_EQ(Trim(), 150U);
  EXPECT_EQ(Length(), 0);
  EXPECT_EQ(Lag("archive"), 0U);
}

TEST_F(TrimmerTest, ATopicHasTheShardsThatItWasFirstDeclaredWith) {
  ASSERT_THAT(DeclareReaders(*flow_, topic_), IsOk());
  ASSERT_THAT(DeclareReaders(*flow_, topic_), IsOk());
  Topic other = topic_;
  other.shards = 8;
  const auto refused = DeclareReaders(*flow_, other);
  EXPECT_THAT(refused, testing::StatusIs(absl::StatusCode::kFailedPrecondition, "TOPIC_DIFFERS"));
  EXPECT_THAT(std::string(Message(refused)), ::testing::HasSubstr("has 4 shards"));
  other.name = "others";
  EXPECT_THAT(DeclareReaders(*flow_, other), IsOk());
}

TEST_F(TrimmerTest, RemovesNothingWhileADeclaredReaderHasNeverCome) {
  const auto ids = AppendMany(3);
  CommitAs("archive", ids[2]);
  EXPECT_EQ(Trim(), 0U);
  EXPECT_EQ(Length(), 3);
  ASSERT_THAT(DeclareReaders(*flow_, topic_), IsOk());
  EXPECT_EQ(Trim(), 0U);
  CommitAs("detection", ids[2]);
  EXPECT_EQ(Trim(), 3U);
}

TEST_F(TrimmerTest, WhoIsDeclaredElsewhereCountsUntilItIsRemoved) {
  const auto ids = AppendMany(3);
  Topic newer = topic_;
  newer.readers.push_back("reporting");
  ASSERT_THAT(DeclareReaders(*flow_, newer), IsOk());
  CommitAs("archive", ids[2]);
  CommitAs("detection", ids[2]);
  EXPECT_EQ(Trim(), 0U);
  ASSERT_THAT(RemoveReader(*flow_, topic_, "reporting"), IsOk());
  EXPECT_EQ(Trim(), 3U);
}

TEST_F(TrimmerTest, DeclaringAgainMovesNobody) {
  const auto ids = AppendMany(3);
  CommitAs("archive", ids[1]);
  ASSERT_THAT(DeclareReaders(*flow_, topic_), IsOk());
  ASSERT_OK_AND_ASSIGN(const LeasedCursor cursor, Acquire("one"));
  EXPECT_EQ(cursor.committed(), ids[1]);
}

TEST_F(TrimmerTest, RunsByItself) {
  ASSERT_THAT(DeclareReaders(*flow_, topic_), IsOk());
  trimmer_.Start();
  const auto ids = AppendMany(5, 2);
  CommitAs("archive", ids[4], 2);
  CommitAs("detection", ids[4], 2);
  EXPECT_TRUE(Eventually([this] { return Length(2) == 0; }));
  trimmer_.Stop();
}

TEST_F(TrimmerTest, AsksForARewriteOfAnAofThatHasOutgrownTheData) {
  ASSERT_THAT(DeclareReaders(*flow_, topic_), IsOk());
  ASSERT_THAT(flow_->Command({"CONFIG", "SET", "auto-aof-rewrite-percentage", "0"}), IsOk());
  const std::string payload(1 << 20, 'x');
  EntryId last;
  for (int i = 0; i < 70; ++i) {
    ASSERT_OK_AND_ASSIGN(last, producer_->Append(0, fmt::format("big{}", i), payload));
  }
  CommitAs("archive", last);
  CommitAs("detection", last);
  const auto aof_bytes = [this] {
    const auto info = flow_->Command({"INFO", "persistence"});
    const size_t at = info.ok() ? info->text.find("aof_current_size:") : std::string::npos;
    return at == std::string::npos ? 0 : std::stoll(info->text.substr(at + 17));
  };
  EXPECT_GT(aof_bytes(), 70 << 20);
  EXPECT_EQ(Trim(), 70U);
  EXPECT_TRUE(Eventually([&] { return aof_bytes() < 10 << 20; }));
}

}  // namespace
}  // namespace yagura::stream
