#include "cli/up/data_folder.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <future>

#include "cli/data_dir.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/status/status.h"
#include "common/testing/process.h"

namespace yagura::cli {
namespace {

class DataFolderTest : public ::testing::Test {
 protected:
  static unsigned ModeOf(const std::filesystem::path& path) {
    struct stat info {};
    return stat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
  }

  const testing::TemporaryFolder temporary_;
  const std::filesystem::path& folder_ = temporary_.path();
};

TEST_F(DataFolderTest, IsTakenWhereItIsNewOrEmptyOrOurs) {
  EXPECT_TRUE(DataFolder::Take(folder_ / "new" / "below").ok());
  EXPECT_EQ(ModeOf(folder_ / "new" / "below"), 0700u);
  EXPECT_TRUE(DataFolder::Take(folder_ / "new" / "below").ok());  // it holds the lock now

  std::filesystem::create_directories(folder_ / "disk" / "lost+found");
  EXPECT_TRUE(DataFolder::Take(folder_ / "disk").ok());

  std::filesystem::create_directories(folder_ / "old" / "redis-state");  // before the marker
  std::ofstream(folder_ / "old" / "lock") << "1\n";
  EXPECT_TRUE(DataFolder::Take(folder_ / "old").ok());
}

TEST_F(DataFolderTest, IsNotTakenWhileARestoreIntoItHasNotFinished) {
  const auto root = folder_ / "restored";
  std::filesystem::create_directories(root / "store");
  std::ofstream(root / kRestoreMarker) << "";
  EXPECT_EQ(ErrorReason(DataFolder::Take(root).status()), "RESTORE_UNFINISHED");
  EXPECT_FALSE(std::filesystem::exists(root / "lock"));
  {
    const auto taken = DataFolder::TakeForRestore(root);
    ASSERT_TRUE(taken.ok()) << taken.status();
    EXPECT_EQ(ErrorReason(DataFolder::TakeForRestore(root).status()), "ALREADY_RUNNING");
  }
  std::filesystem::remove(root / kRestoreMarker);
  EXPECT_TRUE(DataFolder::Take(root).ok());
}

TEST_F(DataFolderTest, LeavesWhatIsSomebodyElsesUntouched) {
  std::ofstream(folder_ / "letter") << "text";
  ASSERT_EQ(chmod(folder_.c_str(), 0755), 0);
  ASSERT_EQ(chmod((folder_ / "letter").c_str(), 0644), 0);

  const auto folder = DataFolder::Take(folder_);
  EXPECT_EQ(ErrorReason(folder.status()), "DATA_DIR_UNUSABLE");
  EXPECT_THAT(Message(folder.status()), ::testing::HasSubstr("holds other files"));
  EXPECT_EQ(ErrorReason(DataFolder::Take(folder_ / "letter").status()), "DATA_DIR_UNUSABLE");

  EXPECT_EQ(ModeOf(folder_), 0755u);
  EXPECT_EQ(ModeOf(folder_ / "letter"), 0644u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(DataFolderTest, DoesNotTakeAnothersLockForASuite) {
  std::ofstream(folder_ / "lock") << "1\n";
  const int fd = open((folder_ / "lock").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(flock(fd, LOCK_EX), 0);
  EXPECT_EQ(ErrorReason(RunningProcess(folder_).status()), "NOT_RUNNING");
  close(fd);
}

TEST_F(DataFolderTest, SaysWhyItCannotBeMade) {
  const auto folder = DataFolder::Take("/sys/yagura-test");  // nobody makes a folder there
  EXPECT_EQ(ErrorReason(folder.status()), "DATA_DIR_UNUSABLE");
  EXPECT_THAT(Message(folder.status()), ::testing::Not(::testing::HasSubstr("No such file")));
}

// Unless it is root, whom no permission stops: then the folder is one that cannot be looked into.
TEST_F(DataFolderTest, DoesNotSayThatNobodyIsThereWhereItCannotTell) {
  const auto root = folder_ / "data";
  { ASSERT_TRUE(DataFolder::Take(root).ok()); }
  std::filesystem::remove(root / "lock");
  if (geteuid() == 0) {
    std::filesystem::create_symlink("lock", root / "lock");  // ELOOP
  } else {
    std::ofstream(root / "lock") << "1\n";
    ASSERT_EQ(chmod((root / "lock").c_str(), 0), 0);  // EACCES
  }
  EXPECT_EQ(ErrorReason(RunningProcess(root).status()), "DATA_DIR_UNREADABLE");
  EXPECT_EQ(ErrorReason(RunningProcess(folder_ / "none").status()), "NOT_RUNNING");
  std::ofstream(folder_ / "file") << "";
  EXPECT_EQ(ErrorReason(RunningProcess(folder_ / "file").status()), "NOT_RUNNING");
}

TEST_F(DataFolderTest, TheAddressesOfOneThatWasKilledAreGoneOnceItIsTaken) {
  { ASSERT_TRUE(DataFolder::Take(folder_).ok()); }
  ASSERT_TRUE(WriteEndpoints(folder_, {{"grpc", "127.0.0.1:1"}}).ok());
  const auto taken = DataFolder::Take(folder_);
  ASSERT_TRUE(taken.ok());
  EXPECT_EQ(ErrorReason(ReadEndpoints(folder_).status()), "NOT_RUNNING");
}

TEST_F(DataFolderTest, BelongsToOneSuiteAtATime) {
  auto taken = DataFolder::Take(folder_);
  ASSERT_TRUE(taken.ok());
  EXPECT_EQ(*RunningProcess(folder_), getpid());
  EXPECT_EQ(ErrorReason(DataFolder::Take(folder_).status()), "ALREADY_RUNNING");
  { const DataFolder moved = std::move(*taken); }
  EXPECT_EQ(ErrorReason(RunningProcess(folder_).status()), "NOT_RUNNING");
  EXPECT_TRUE(DataFolder::Take(folder_).ok());
}

// A process that was killed is there until its parent has heard of it, and longer while it ends.
TEST_F(DataFolderTest, NoSuiteRunsWhereItWasKilledAndOnlyItsRemainsAreLeft) {
  int ready[2];
  int over[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(over), 0);
  const pid_t suite = fork();
  if (suite == 0) {
    auto folder = DataFolder::Take(folder_);
    if (fork() == 0) {  // a child of the suite, that keeps the lock for a while
      char byte = 0;
      close(over[1]);
      [[maybe_unused]] const auto end = read(over[0], &byte, 1);
      _exit(0);
    }
    [[maybe_unused]] const auto told = write(ready[1], folder.ok() ? "+" : "-", 1);
    for (;;) pause();
  }
  char taken = 0;
  ASSERT_EQ(read(ready[0], &taken, 1), 1);
  ASSERT_EQ(taken, '+');
  EXPECT_EQ(RunningProcess(folder_).value_or(0), suite);
  ASSERT_EQ(kill(suite, SIGKILL), 0);
  EXPECT_EQ(ErrorReason(RunningProcess(folder_).status()), "NOT_RUNNING");  // not waited for yet
  ASSERT_EQ(waitpid(suite, nullptr, 0), suite);
  EXPECT_EQ(ErrorReason(RunningProcess(folder_).status()), "NOT_RUNNING");
  for (const int fd : {ready[0], ready[1], over[0], over[1]}) close(fd);
}

TEST_F(DataFolderTest, IsFreeAfterAKillOnlyOnceTheChildrenAreGone) {
  int until[2];
  ASSERT_EQ(pipe(until), 0);
  const pid_t suite = fork();
  if (suite == 0) {
    const auto taken = DataFolder::Take(folder_);
    if (fork() == 0) {  // a redis-server that is slow to end
      close(until[1]);
      char end;
      std::_Exit(read(until[0], &end, 1) == 0 ? 0 : 1);
    }
    std::_Exit(taken.ok() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(suite, &status, 0), suite);
  ASSERT_EQ(status, 0);

  EXPECT_EQ(ErrorReason(RunningProcess(folder_).status()), "NOT_RUNNING");
  auto next = std::async(std::launch::async, [this] { return DataFolder::Take(folder_).ok(); });
  EXPECT_EQ(next.wait_for(std::chrono::milliseconds(200)), std::future_status::timeout);
  close(until[1]);
  EXPECT_TRUE(next.get());
  close(until[0]);
}

}  // namespace
}  // namespace yagura::cli
