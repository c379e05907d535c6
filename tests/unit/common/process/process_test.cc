#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/process/child_process.h"
#include "common/process/supervisor.h"
#include "common/status/status.h"
#include "common/testing/eventually.h"

namespace yagura {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Eventually;

bool Alive(pid_t pid) { return kill(pid, 0) == 0; }

TEST(ChildProcess, SaysWhyAProgramDoesNotStart) {
  const auto child = ChildProcess::Start({.arguments = {"/nonexistent/program"}});
  EXPECT_EQ(child.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(Message(child.status())), ::testing::HasSubstr("No such file"));
}

TEST(ChildProcess, AppendsItsOutputToTheFileAndTellsItsExitCode) {
  const auto file =
      std::filesystem::temp_directory_path() / ("yagura_process_test_" + std::to_string(getpid()));
  auto child = ChildProcess::Start({.arguments = {"sh", "-c", "echo $GREETING; exit 3"},
                                    .environment = {"GREETING=hello"},
                                    .output = file});
  ASSERT_TRUE(child.ok());
  ASSERT_TRUE(Eventually([&] { return child->ExitStatus().has_value(); }));
  EXPECT_EQ(DescribeExit(*child->ExitStatus()), "exit code 3");
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  EXPECT_EQ(text.str(), "hello\n");
  std::filesystem::remove(file);
}

TEST(ChildProcess, StopKillsOneThatIgnoresTheRequest) {
  auto child =
      ChildProcess::Start({.arguments = {"sh", "-c", "trap '' TERM; while :; do :; done"}});
  ASSERT_TRUE(child.ok());
  child->Stop(milliseconds(50));
  ASSERT_TRUE(child->ExitStatus().has_value());
  EXPECT_TRUE(WIFSIGNALED(*child->ExitStatus()));
}

TEST(ChildProcess, DiesWithTheThreadThatStartedIt) {
  pid_t pid = -1;
  std::thread([&pid] {
    auto child = ChildProcess::Start({.arguments = {"sleep", "60"}});
    ASSERT_TRUE(child.ok());
    pid = child->pid();
    // Never destroyed, so that nobody but the kernel stops it.
    static auto* const kKept = new ChildProcess(std::move(*child));
    ASSERT_NE(kKept, nullptr);
  }).join();
  EXPECT_TRUE(Eventually([&] { return waitpid(pid, nullptr, WNOHANG) == pid; }));
}

TEST(Supervisor, StartsTheChildAgainWhenItDies) {
  Supervisor supervisor(
      {.name = "sleep", .child = {.arguments = {"sleep", "60"}}, .ready = [] { return true; }},
      Logger::Null());
  ASSERT_TRUE(supervisor.Start().ok());
  const pid_t first = supervisor.pid();
  ASSERT_GT(first, 0);
  kill(first, SIGKILL);
  EXPECT_TRUE(Eventually([&] { return supervisor.pid() > 0 && supervisor.pid() != first; }));
  const pid_t second = supervisor.pid();
  supervisor.Stop();
  EXPECT_FALSE(Alive(second));
}

TEST(Supervisor, TellsWhyTheFirstStartFailed) {
  Supervisor supervisor(
      {.name = "false", .child = {.arguments = {"false"}}, .ready = [] { return false; }},
      Logger::Null());
  EXPECT_THAT(std::string(Message(supervisor.Start())), ::testing::HasSubstr("exit code 1"));
}

}  // namespace
}  // namespace yagura
