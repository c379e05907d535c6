// What a backup holds of a data folder that changes while it is taken.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "cli/backup/files.h"
#include "cli/backup/staging.h"
#include "cli/backup/work.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/process.h"
#include "common/testing/status_matchers.h"

namespace yagura::cli {
namespace {

namespace fs = std::filesystem;
using testing::IsOk;
using testing::StatusIs;

std::string Content(const fs::path& file) {
  std::stringstream text;
  text << std::ifstream(file, std::ios::binary).rdbuf();
  return text.str();
}

class BackupStaging : public ::testing::Test {
 protected:
  BackupStaging() { fs::create_directory(data()); }

  fs::path data() const { return root_ / "data"; }
  // As services do: a new file that is renamed.
  void Put(const fs::path& file, const std::string& text) const {
    fs::create_directories(file.parent_path());
    std::ofstream(root_ / "new", std::ios::binary) << text;
    fs::rename(root_ / "new", file);
  }
  static bool Skip(const std::string& name) { return name == "backup-staging"; }

  const testing::TemporaryFolder temporary_;
  const fs::path& root_ = temporary_.path();
  Work work_{0, {}};
};

TEST_F(BackupStaging, HoldsFilesAsTheyWereAndGivesThemBack) {
  Put(data() / "keys" / "a", "old");
  {
    const Staging staging(data());
    ASSERT_THAT(staging.Take(Skip, work_), IsOk());
    Put(data() / "keys" / "a", "new");
    EXPECT_EQ(Content(staging.folder() / "keys" / "a"), "old");
    // Taken once more: what is there now, and what has gone since.
    Put(data() / "keys" / "b", "more");
    ASSERT_THAT(staging.Take(Skip, work_), IsOk());
    EXPECT_EQ(Content(staging.folder() / "keys" / "a"), "new");
    EXPECT_EQ(Content(staging.folder() / "keys" / "b"), "more");
    fs::remove(data() / "keys" / "b");
    ASSERT_THAT(staging.Take(Skip, work_), IsOk());
    EXPECT_EQ(Content(staging.folder() / "keys" / "b"), "more");
  }
  EXPECT_FALSE(fs::exists(data() / "backup-staging"));
  EXPECT_EQ(Content(data() / "keys" / "a"), "new");
}

TEST_F(BackupStaging, TakesAFolderAnewAsItIsNowAlone) {
  Put(data() / "ingestion" / "positions", "1");
  Put(data() / "ingestion" / "spool" / "1.spool", "one");
  Put(data() / "keys" / "a", "key");
  const Staging staging(data());
  ASSERT_THAT(staging.Take(Skip, work_), IsOk());
  Put(data() / "ingestion" / "positions", "2");
  Put(data() / "ingestion" / "spool" / "2.spool", "two");
  fs::remove(data() / "ingestion" / "spool" / "1.spool");
  fs::remove(data() / "keys" / "a");
  ASSERT_THAT(staging.TakeAnew("ingestion", work_), IsOk());
  EXPECT_EQ(Content(staging.folder() / "ingestion" / "positions"), "2");
  EXPECT_EQ(Content(staging.folder() / "ingestion" / "spool" / "2.spool"), "two");
  EXPECT_FALSE(fs::exists(staging.folder() / "ingestion" / "spool" / "1.spool"));
  EXPECT_EQ(Content(staging.folder() / "keys" / "a"), "key");
}

// Of a link, what it leads to is in the backup, as it is at the moment.
TEST_F(BackupStaging, TakesWhatLinksLeadTo) {
  Put(root_ / "elsewhere" / "key", "secret");
  Put(root_ / "elsewhere" / "blobs" / "b", "blob");
  fs::create_directory(data() / "keys");
  fs::create_symlink("../../elsewhere/key", data() / "keys" / "relative");
  fs::create_symlink(root_ / "elsewhere" / "key", data() / "keys" / "absolute");
  fs::create_symlink("../elsewhere/blobs", data() / "blobs");
  fs::create_symlink("nowhere", data() / "keys" / "dangling");
  const Staging staging(data());
  ASSERT_THAT(staging.Take(Skip, work_), IsOk());
  Put(root_ / "elsewhere" / "key", "another");
  ASSERT_OK_AND_ASSIGN(const auto files, ListFiles(staging.folder()));
  std::vector<std::string> names;
  for (const FoundFile& file : files) {
    names.push_back(file.path);
    EXPECT_FALSE(fs::is_symlink(staging.folder() / file.path)) << file.path;
  }
  EXPECT_THAT(names, ::testing::ElementsAre("blobs/b", "keys/absolute", "keys/relative"));
  EXPECT_EQ(Content(staging.folder() / "keys" / "relative"), "secret");
  EXPECT_EQ(Content(staging.folder() / "keys" / "absolute"), "secret");
}

// Nothing is left out without a word.
TEST_F(BackupStaging, SaysWhatItCannotTake) {
  fs::create_symlink(".", data() / "round");
  const Staging staging(data());
  EXPECT_THAT(staging.Take(Skip, work_),
              StatusIs(absl::StatusCode::kFailedPrecondition, "FILE_NAME_BAD"));
}

}  // namespace
}  // namespace yagura::cli
