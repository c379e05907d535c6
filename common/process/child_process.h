#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace yagura {

// A program that runs as our child and is killed by the kernel when the thread that started it
// ends, whatever ended it: children never outlive us. Not thread-safe; movable.
class ChildProcess {
 public:
  struct Options {
    std::vector<std::string> arguments;    // [0] is looked up in PATH where it has no slash
    std::vector<std::string> environment;  // "NAME=value", added to ours
    std::filesystem::path output;          // standard output and error are appended; empty: ours
    int death_signal = 15;                 // what the kernel sends when the starting thread ends
  };
  // INTERNAL where it cannot be started (also: no such program).
  static absl::StatusOr<ChildProcess> Start(const Options& options);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();  // SIGKILL and wait, where it still runs

  pid_t pid() const { return pid_; }
  // Reaps where it has ended. Exit status as of waitpid(2); nothing while it runs.
  std::optional<int> ExitStatus();
  void Signal(int number) const;
  // SIGTERM, after `patience` SIGKILL; returns when it is gone.
  void Stop(std::chrono::milliseconds patience);

 private:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}
  pid_t pid_ = -1;  // -1: moved from, or reaped
  std::optional<int> exit_status_;
};

// "exit code 3", "signal 9 (Killed)".
std::string DescribeExit(int exit_status);

}  // namespace yagura
