#include "common/blob/blob_store.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

#include "common/blob/file_io.h"
#include "common/status/status.h"

namespace yagura::blob {
namespace {

namespace fs = std::filesystem;

class FolderBlobStore : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "yagura-blob-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    auto store = OpenFolder({.folder = folder_ / "blobs", .max_blob_bytes = 1 << 20});
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = std::move(*store);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path FileOf(const std::string& digest) const {
    return folder_ / "blobs" / digest.substr(0, 2) / digest.substr(2);
  }
  size_t CountFiles() const {
    size_t count = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
      count += entry.is_regular_file() ? 1 : 0;
    }
    return count;
  }

  fs::path folder_;
  std::unique_ptr<BlobStore> store_;
};

TEST_F(FolderBlobStore, GivesBackTheBytesUnderTheirSha256) {
  const auto digest = store_->Put(std::string("a\0b", 3));
  ASSERT_TRUE(digest.ok()) << digest.status();
  EXPECT_EQ(*store_->Put("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(*store_->Get(*digest), std::string("a\0b", 3));
  EXPECT_TRUE(*store_->Contains(*digest));
}

TEST_F(FolderBlobStore, KeepsTheSameBytesOnce) {
  ASSERT_EQ(*store_->Put("same"), *store_->Put("same"));
  EXPECT_EQ(CountFiles(), 1u);
}

TEST_F(FolderBlobStore, RefusesDamagedBytesAndPutHealsThem) {
  const std::string digest = *store_->Put("precious");
  std::ofstream(FileOf(digest), std::ios::trunc) << "precioux";
  EXPECT_EQ(store_->Get(digest).status().code(), absl::StatusCode::kDataLoss);
  ASSERT_TRUE(store_->Put("precious").ok());
  EXPECT_EQ(*store_->Get(digest), "precious");
}

TEST_F(FolderBlobStore, RefusesWhatIsTooLarge) {
  const auto result = store_->Put(std::string((1 << 20) + 1, 'x'));
  EXPECT_EQ(ErrorReason(result.status()), "BLOB_TOO_LARGE");
  EXPECT_EQ(CountFiles(), 0u);
}

TEST_F(FolderBlobStore, TakesNothingButDigestsForNames) {
  for (const char* name : {"", "../../etc/passwd", "ABCDEF", "zz"}) {
    EXPECT_EQ(store_->Get(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
  EXPECT_EQ(store_->Get(DigestOf("absent")).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(FolderBlobStore, DeletesAndForgets) {
  const std::string digest = *store_->Put("short-lived");
  ASSERT_TRUE(store_->Delete(digest).ok());
  EXPECT_FALSE(*store_->Contains(digest));
  EXPECT_TRUE(store_->Delete(digest).ok());
}

TEST_F(FolderBlobStore, LetsManyWritersPutTheSameBytes) {
  const std::string bytes(100'000, 'y');
  std::vector<std::thread> writers;
  for (int i = 0; i < 8; ++i) {
    writers.emplace_back([&] { EXPECT_TRUE(store_->Put(bytes).ok()); });
  }
  for (auto& writer : writers) writer.join();
  EXPECT_EQ(*store_->Get(DigestOf(bytes)), bytes);
  EXPECT_EQ(CountFiles(), 1u);
}

TEST_F(FolderBlobStore, KeepsBlobsFromOtherUsers) {
  const std::string digest = *store_->Put("private");
  struct stat facts = {};
  ASSERT_EQ(stat(FileOf(digest).c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
}

TEST_F(FolderBlobStore, WriteFileDurablyFailsOnAnExistingNameWhenAsked) {
  const fs::path file = folder_ / "once";
  ASSERT_TRUE(WriteFileDurably(file, "first", 0600, IfExists::kFail).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(WriteFileDurably(file, "second", 0600, IfExists::kFail)));
  EXPECT_EQ(*ReadFile(file, 100), "first");
  EXPECT_EQ(CountFiles(), 1u);
}

}  // namespace
}  // namespace yagura::blob
