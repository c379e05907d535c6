#include "common/process/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "fmt/format.h"

#include "common/status/status.h"

namespace yagura {
namespace {

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (auto& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> MergedEnvironment(const std::vector<std::string>& added) {
  std::vector<std::string> merged = added;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('=') + 1);
    bool replaced = false;
    for (const auto& own : added) replaced |= own.starts_with(name);
    if (!replaced) merged.push_back(text);
  }
  return merged;
}

// Between fork and exec only async-signal-safe calls are allowed. Reports errno through `report`.
[[noreturn]] void BecomeChild(const char* program, char* const* arguments, char* const* environment,
                              int output, int death_signal, pid_t parent, int report) {
  prctl(PR_SET_PDEATHSIG, death_signal);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setpgid(0, 0);  // Ctrl-C in a terminal reaches us alone; we stop children in order
  if (getppid() == parent) {
    if (output >= 0) {
      dup2(output, STDOUT_FILENO);
      dup2(output, STDERR_FILENO);
    }
    execvpe(program, arguments, environment);
  }
  const int error = errno;
  [[maybe_unused]] const auto written = write(report, &error, sizeof error);
  _exit(127);
}

}  // namespace

absl::StatusOr<ChildProcess> ChildProcess::Start(const Options& options) {
  std::vector<std::string> arguments = options.arguments;
  std::vector<std::string> environment = MergedEnvironment(options.environment);
  const auto argument_pointers = Pointers(arguments);
  const auto environment_pointers = Pointers(environment);
  int output = -1;
  if (!options.output.empty()) {
    output = open(options.output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (output < 0) {
      return Internal(fmt::format("cannot open {}: {}", options.output.string(), strerror(errno)));
    }
  }
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return Internal("cannot make a pipe");
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    BecomeChild(arguments[0].c_str(), argument_pointers.data(), environment_pointers.data(), output,
                options.death_signal, parent, report[1]);
  }
  close(report[1]);
  if (output >= 0) close(output);
  int error = 0;
  const bool failed = pid > 0 && read(report[0], &error, sizeof error) == sizeof error;
  close(report[0]);
  if (pid < 0) return Internal("cannot fork");
  ChildProcess child(pid);
  if (failed) {
    return Internal(fmt::format("cannot start {}: {}", arguments[0], strerror(error)));
  }
  return child;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), exit_status_(other.exit_status_) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    Stop(std::chrono::milliseconds(0));
    pid_ = std::exchange(other.pid_, -1);
    exit_status_ = other.exit_status_;
  }
  return *this;
}

ChildProcess::~ChildProcess() { Stop(std::chrono::milliseconds(0)); }

std::optional<int> ChildProcess::ExitStatus() {
  int status = 0;
  if (pid_ > 0 && waitpid(pid_, &status, WNOHANG) == pid_) {
    pid_ = -1;
    exit_status_ = status;
  }
  return exit_status_;
}

void ChildProcess::Signal(int number) const {
  if (pid_ > 0) kill(pid_, number);
}

void ChildProcess::Stop(std::chrono::milliseconds patience) {
  if (pid_ <= 0) return;
  if (patience.count() > 0) Signal(SIGTERM);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!ExitStatus() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  if (pid_ <= 0) return;
  Signal(SIGKILL);
  int status = 0;
  if (waitpid(pid_, &status, 0) == pid_) exit_status_ = status;
  pid_ = -1;
}

std::string DescribeExit(int exit_status) {
  if (WIFSIGNALED(exit_status)) {
    return fmt::format("signal {} ({})", WTERMSIG(exit_status), strsignal(WTERMSIG(exit_status)));
  }
  return fmt::format("exit code {}", WEXITSTATUS(exit_status));
}

}  // namespace yagura
