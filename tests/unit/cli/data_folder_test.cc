#include "cli/up/data_folder.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <future>

#include "gtest/gtest.h"

#include "common/status/status.h"

namespace yagura::cli {
namespace {

class DataFolderTest : public ::testing::Test {
 protected:
  DataFolderTest() {
    std::string made = (std::filesystem::temp_directory_path() / "yagura-folder-XXXXXX").string();
    if (mkdtemp(made.data()) == nullptr) std::abort();
    folder_ = made;
  }
  ~DataFolderTest() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
};

TEST_F(DataFolderTest, BelongsToOneSuiteAtATime) {
  auto taken = DataFolder::Take(folder_);
  ASSERT_TRUE(taken.ok());
  EXPECT_EQ(*RunningProcess(folder_), getpid());
  EXPECT_EQ(ErrorReason(DataFolder::Take(folder_).status()), "ALREADY_RUNNING");
  { const DataFolder moved = std::move(*taken); }
  EXPECT_EQ(ErrorReason(RunningProcess(folder_).status()), "NOT_RUNNING");
  EXPECT_TRUE(DataFolder::Take(folder_).ok());
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
