#include "services/ingestion/storage/spool.h"

#include <filesystem>
#include <fstream>

#include "common/testing/process.h"
#include "common/testing/status_matchers.h"

namespace yagura::ingestion {
namespace {

using testing::IsOk;
using testing::StatusIs;

class SpoolTest : public ::testing::Test {
 protected:
  ~SpoolTest() override { std::filesystem::remove_all(folder_); }
  std::unique_ptr<Spool> Open(uint64_t quota = 1 << 30) {
    return Spool::Open(folder_ / "spool", quota).value();
  }
  static Spool::Record RecordOf(int i, size_t size = 100) {
    return {"acme/fw", "key" + std::to_string(i),
            std::string(size, static_cast<char>('a' + i % 26))};
  }
  static void FlipBit(const std::filesystem::path& file, uint64_t offset) {
    std::fstream bytes(file, std::ios::binary | std::ios::in | std::ios::out);
    bytes.seekg(static_cast<std::streamoff>(offset));
    const int byte = bytes.get();
    bytes.seekp(static_cast<std::streamoff>(offset));
    bytes.put(static_cast<char>(byte ^ 1));
    ASSERT_TRUE(bytes.good());
  }
  static std::vector<std::string> Drain(Spool& spool) {
    std::vector<std::string> keys;
    for (auto front = spool.Front().value(); front; front = spool.Front().value()) {
      keys.push_back(front->key);
      spool.Pop();
    }
    return keys;
  }
  std::filesystem::path folder_ = testing::MakeTemporaryFolder();
};

TEST_F(SpoolTest, FirstInFirstOutAlsoWhileItIsWrittenTo) {
  auto spool = Open();
  EXPECT_TRUE(spool->empty());
  for (int i = 0; i < 3; ++i) ASSERT_THAT(spool->Append(RecordOf(i)), IsOk());
  EXPECT_EQ(spool->Front().value()->key, "key0");
  EXPECT_EQ(spool->Front().value()->payload, RecordOf(0).payload) << "the same until Pop";
  spool->Pop();
  ASSERT_THAT(spool->Append(RecordOf(3)), IsOk());
  EXPECT_EQ(Drain(*spool), (std::vector<std::string>{"key1", "key2", "key3"}));
  EXPECT_TRUE(spool->empty());
  EXPECT_EQ(spool->bytes(), 0u);
  ASSERT_THAT(spool->Append(RecordOf(4)), IsOk());
  EXPECT_EQ(Drain(*spool), (std::vector<std::string>{"key4"}));
}

TEST_F(SpoolTest, SurvivesTheProcess) {
  std::vector<std::string> keys;
  {
    auto spool = Open();
    for (int i = 0; i < 40; ++i) {
      ASSERT_THAT(spool->Append(RecordOf(i, 1 << 20)), IsOk());  // several segments
      keys.push_back("key" + std::to_string(i));
    }
  }
  auto spool = Open();
  ASSERT_THAT(spool->Append(RecordOf(40)), IsOk());
  keys.push_back("key40");
  EXPECT_EQ(Drain(*spool), keys);
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "spool"));
}

TEST_F(SpoolTest, ATornRecordHidesNothingElse) {
  {
    auto spool = Open();
    for (int i = 0; i < 3; ++i) ASSERT_THAT(spool->Append(RecordOf(i)), IsOk());
  }
  const auto file = std::filesystem::directory_iterator(folder_ / "spool")->path();
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 7);
  auto spool = Open();
  ASSERT_THAT(spool->Append(RecordOf(3)), IsOk());
  EXPECT_EQ(Drain(*spool), (std::vector<std::string>{"key0", "key1", "key3"}));
}

// The bit's place decides what it breaks: a size, the hash, a name or the payload.
TEST_F(SpoolTest, AFlippedBitCostsOneRecordAndIsSetAside) {
  constexpr uint64_t kRecordBytes = 20 + 7 + 4 + 100;
  for (const uint64_t place : {0u, 3u, 5u, 9u, 11u, 15u, 22u, 27u, 60u}) {
    SCOPED_TRACE(place);
    std::filesystem::remove_all(folder_ / "spool");
    {
      auto spool = Open();
      for (int i = 0; i < 5; ++i) ASSERT_THAT(spool->Append(RecordOf(i)), IsOk());
      ASSERT_EQ(spool->bytes(), 5 * kRecordBytes);
    }
    const auto file = std::filesystem::directory_iterator(folder_ / "spool")->path();
    FlipBit(file, kRecordBytes + place);
    auto spool = Open();
    EXPECT_EQ(Drain(*spool), (std::vector<std::string>{"key0", "key2", "key3", "key4"}));
    const auto damages = spool->TakeDamages();
    ASSERT_EQ(damages.size(), 1u);
    EXPECT_EQ(damages[0].offset, kRecordBytes);
    EXPECT_EQ(damages[0].bytes, kRecordBytes);
    EXPECT_EQ(std::filesystem::file_size(damages[0].kept_in), kRecordBytes);
    EXPECT_EQ(spool->damaged_bytes(), kRecordBytes);
    EXPECT_EQ(spool->bytes(), 0u);
    EXPECT_EQ(Open()->damaged_bytes(), kRecordBytes) << "also after a restart";
    EXPECT_TRUE(spool->TakeDamages().empty());
  }
}

TEST_F(SpoolTest, WhatIsSetAsideStaysWithinTheQuota) {
  {
    auto spool = Open();
    for (int i = 0; i < 3; ++i) ASSERT_THAT(spool->Append(RecordOf(i, 1000)), IsOk());
  }
  FlipBit(std::filesystem::directory_iterator(folder_ / "spool")->path(), 100);
  auto spool = Open(4000);  // a quarter is less than the record
  EXPECT_EQ(Drain(*spool), (std::vector<std::string>{"key1", "key2"}));
  const auto damages = spool->TakeDamages();
  ASSERT_EQ(damages.size(), 1u);
  EXPECT_TRUE(damages[0].kept_in.empty());
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "spool"));

  {
    auto larger = Open(8000);
    for (int i = 0; i < 3; ++i) ASSERT_THAT(larger->Append(RecordOf(i, 1000)), IsOk());
  }
  FlipBit(std::filesystem::directory_iterator(folder_ / "spool")->path(), 100);
  auto again = Open(8000);
  EXPECT_EQ(Drain(*again).size(), 2u);
  EXPECT_GT(again->damaged_bytes(), 1000u);
  EXPECT_THAT(again->Append(RecordOf(9, 7000)),
              StatusIs(absl::StatusCode::kResourceExhausted, "SPOOL_FULL"))
      << "what is set aside counts";
}

TEST_F(SpoolTest, TheQuotaHolds) {
  auto spool = Open(1000);
  ASSERT_THAT(spool->Append(RecordOf(0, 600)), IsOk());
  EXPECT_THAT(spool->Append(RecordOf(1, 600)),
              StatusIs(absl::StatusCode::kResourceExhausted, "SPOOL_FULL"));
  EXPECT_EQ(Drain(*spool).size(), 1u);
  EXPECT_THAT(spool->Append(RecordOf(1, 600)), IsOk());
}

}  // namespace
}  // namespace yagura::ingestion
