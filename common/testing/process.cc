#include "common/testing/process.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace yagura::testing {
namespace {

[[noreturn]] void Die(const char* why) {
  std::perror(why);
  std::abort();
}

int ExitCode(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

pid_t Spawn(const std::vector<std::string>& args, const std::filesystem::path& log) {
  std::vector<char*> argv;
  argv.reserve(args.size() + 1);
  for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid < 0) Die("fork");
  if (pid > 0) return pid;
  // Only async-signal-safe calls from here on.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (out >= 0) {
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
  }
  execvp(argv[0], argv.data());
  _exit(127);
}

}  // namespace

Process::Process(const std::vector<std::string>& args, const std::filesystem::path& log)
    : pid_(Spawn(args, log)) {}

Process::~Process() { Kill(); }

void Process::Signal(int signal) const {
  if (!exit_code_) kill(pid_, signal);
}

std::optional<int> Process::Poll() {
  int status = 0;
  if (!exit_code_ && waitpid(pid_, &status, WNOHANG) == pid_) exit_code_ = ExitCode(status);
  return exit_code_;
}

int Process::Wait() {
  int status = 0;
  if (!exit_code_ && waitpid(pid_, &status, 0) == pid_) exit_code_ = ExitCode(status);
  return exit_code_.value_or(-1);
}

void Process::Kill() {
  Signal(SIGKILL);
  Wait();
}

void Process::Pause() const { StopChild(pid_); }

void StopChild(pid_t pid) {
  if (pid <= 0) return;  // kill would take it for many
  kill(pid, SIGSTOP);
  siginfo_t ignored{};
  // WNOWAIT leaves the exit code of one that ended to whoever supervises it.
  waitid(P_PID, static_cast<id_t>(pid), &ignored, WSTOPPED | WEXITED | WNOWAIT);
}

std::filesystem::path MakeTemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "yagura-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) Die("mkdtemp");
  return name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0) Die("bind");
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) Die("getsockname");
  close(fd);
  return ntohs(address.sin_port);
}

}  // namespace yagura::testing
