// The data folder that a restore goes into: whatever is done to it meanwhile, nothing is lost.
#include "cli/backup/restore_target.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/process.h"
#include "common/testing/status_matchers.h"

namespace yagura::cli {
namespace {

namespace fs = std::filesystem;
using testing::IsOk;
using testing::StatusIs;

class RestoreTarget : public ::testing::Test {
 protected:
  fs::path folder() const { return root_ / "data"; }
  fs::path data() const { return folder() / "redis-state" / "appendonly.aof"; }
  fs::path marker() const { return folder() / kRestoreMarker; }
  // As a suite leaves it that ran there.
  void RunASuite() const {
    const auto suite = DataFolder::Take(folder());
    ASSERT_THAT(suite.status(), IsOk());
    Put(data());
  }
  static void Put(const fs::path& file) {
    fs::create_directories(file.parent_path());
    std::ofstream(file) << "data";
  }

  const testing::TemporaryFolder temporary_;
  const fs::path& root_ = temporary_.path();
};

TEST_F(RestoreTarget, MayBeNewOrEmptyOrOneThatWasNotFinished) {
  EXPECT_THAT(CheckTarget(folder(), 1, false), IsOk());
  EXPECT_FALSE(fs::exists(folder()));
  fs::create_directory(folder());
  EXPECT_THAT(CheckTarget(folder(), 1, false), IsOk());
  {
    ASSERT_OK_AND_ASSIGN(const DataFolder taken, TakeTarget(folder(), 1));
    EXPECT_TRUE(fs::exists(marker()));
    Put(data());
  }
  EXPECT_THAT(DataFolder::Take(folder()).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, "RESTORE_UNFINISHED"));
  EXPECT_THAT(CheckTarget(folder(), 1, false), IsOk());
  EXPECT_THAT(TakeTarget(folder(), 1).status(), IsOk());
  EXPECT_FALSE(fs::exists(data()));
  // Broken off before it had marked the folder.
  fs::remove(marker());
  EXPECT_THAT(CheckTarget(folder(), 1, false), IsOk());
  EXPECT_THAT(TakeTarget(folder(), 1).status(), IsOk());
}

TEST_F(RestoreTarget, WhatCameWhileTheBackupWasReadStays) {
  EXPECT_THAT(CheckTarget(folder(), 1, false), IsOk());
  RunASuite();
  EXPECT_THAT(TakeTarget(folder(), 1).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, "DATA_DIR_NOT_EMPTY"));
  EXPECT_TRUE(fs::exists(data()));
  EXPECT_FALSE(fs::exists(marker()));
}

// Another restore took over what was not finished, and a suite lives there now.
TEST_F(RestoreTarget, WhatAnotherRestoreHasFinishedStays) {
  ASSERT_THAT(TakeTarget(folder(), 1).status(), IsOk());
  EXPECT_THAT(CheckTarget(folder(), 1, false), IsOk());
  fs::remove(marker());
  RunASuite();
  EXPECT_THAT(TakeTarget(folder(), 1).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, "DATA_DIR_NOT_EMPTY"));
  EXPECT_TRUE(fs::exists(data()));
}

TEST_F(RestoreTarget, IsNotTakenFromWhoRunsThere) {
  RunASuite();
  const auto suite = DataFolder::Take(folder());
  ASSERT_THAT(suite.status(), IsOk());
  EXPECT_THAT(CheckTarget(folder(), 1, false),
              StatusIs(absl::StatusCode::kFailedPrecondition, "DATA_DIR_NOT_EMPTY"));
  for (const auto& status : {CheckTarget(folder(), 1, true), MoveAside(folder()).status(),
                             TakeTarget(folder(), 1).status()}) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, "ALREADY_RUNNING"));
  }
  EXPECT_TRUE(fs::exists(data()));
}

TEST_F(RestoreTarget, NothingIsMovedAsideWhereThereIsNoRoom) {
  RunASuite();
  EXPECT_THAT(CheckTarget(folder(), 1ull << 60, true),
              StatusIs(absl::StatusCode::kFailedPrecondition, "DISK_FULL"));
  EXPECT_TRUE(fs::exists(data()));
}

TEST_F(RestoreTarget, WhatIsMovedAsideIsThereAsItWas) {
  ASSERT_OK_AND_ASSIGN(const fs::path none, MoveAside(folder()));
  EXPECT_EQ(none, fs::path());
  RunASuite();
  EXPECT_THAT(CheckTarget(folder(), 1, true), IsOk());
  ASSERT_OK_AND_ASSIGN(const fs::path aside, MoveAside(folder()));
  EXPECT_FALSE(fs::exists(folder()));
  EXPECT_TRUE(fs::exists(aside / "redis-state" / "appendonly.aof"));
  EXPECT_THAT(TakeTarget(folder(), 1).status(), IsOk());
  // Also what is no data folder.
  Put(root_ / "other" / "file");
  ASSERT_OK_AND_ASSIGN(const fs::path other, MoveAside(root_ / "other"));
  EXPECT_TRUE(fs::exists(other / "file"));
}

}  // namespace
}  // namespace yagura::cli
