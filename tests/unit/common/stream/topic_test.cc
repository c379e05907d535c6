#include "common/stream/topic.h"

#include <array>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/config/settings_reader.h"
#include "common/stream/scripts.h"
#include "common/stream/topics.h"

namespace yagura::stream {
namespace {

TEST(EntryIdTest, IsReadAndWrittenAsRedisDoes) {
  const EntryId id{1700000000000, 3};
  EXPECT_EQ(id.ToString(), "1700000000000-3");
  EXPECT_EQ(EntryId::Parse("1700000000000-3"), id);
  for (const char* text : {"", "-", "1", "1-", "-1", "1-2-3", "a-1", "1-b", " 1-2"}) {
    EXPECT_EQ(EntryId::Parse(text), std::nullopt) << text;
  }
}

TEST(EntryIdTest, ComparesAsANumberNotAsText) {
  EXPECT_LT((EntryId{9, 0}), (EntryId{10, 0}));
  EXPECT_LT((EntryId{10, 9}), (EntryId{10, 10}));
}

TEST(ShardOfTest, NeverChangesFromReleaseToRelease) {
  EXPECT_EQ(ShardOf("acme/fw-1", 256), 253);
  EXPECT_EQ(ShardOf("acme/fw-2", 256), 46);
  EXPECT_EQ(ShardOf("", 256), 82);
}

TEST(DedupPlaceTest, NeverChangesFromReleaseToRelease) {
  const DedupPlace place = DedupPlaceOf("batch-1");
  EXPECT_EQ(place.bucket, "1b70");
  EXPECT_EQ(place.member, "777437541867804815");
}

TEST(ShardOfTest, SpreadsShortNamesEvenly) {
  std::array<int, 8> counts{};
  for (int i = 0; i < 8000; ++i) ++counts.at(ShardOf("tenant/fw-" + std::to_string(i), 8));
  for (const int count : counts) {
    EXPECT_GT(count, 850);
    EXPECT_LT(count, 1150);
  }
  EXPECT_EQ(ShardOf("anything", 1), 0);
}

TEST(KeyTest, EverythingOfAShardIsInTheSameBraces) {
  EXPECT_EQ(StreamKey("events", 3), "y:{s3}:stream:events");
  EXPECT_EQ(DeadLetterKey("events", 3), "y:{s3}:dead:events");
  EXPECT_EQ(DeadLetterSizeKey("events", 3), "y:{s3}:dead-size:events");
}

TEST(TopicSettings, CoverageHasOneShardAndNoOtherNumber) {
  auto one = config::SettingsReader::FromYaml("coverage: {shards: 1}");
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(ReadCoverageTopic(*one, CoverageTopic()).shards, 1);
  EXPECT_TRUE(one->Finish().ok());
  auto several = config::SettingsReader::FromYaml("coverage:\n  shards: 4");
  ASSERT_TRUE(several.ok());
  ReadCoverageTopic(*several, CoverageTopic());
  EXPECT_THAT(several->Finish().ToString(),
              ::testing::HasSubstr("line 2: coverage.shards: 1 is expected: that a source"));
}

}  // namespace
}  // namespace yagura::stream
