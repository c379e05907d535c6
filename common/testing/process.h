#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace yagura::testing {

// A child process of a test, killed with the object and, should the test program die, with that.
class Process {
 public:
  // Runs args[0], looked up in PATH; its output is appended to `log`. Aborts where fork fails; a
  // program that does not exist ends with exit code 127.
  Process(const std::vector<std::string>& args, const std::filesystem::path& log);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void Signal(int signal) const;
  // The exit code (128 + signal where one ended it), once it has ended.
  std::optional<int> Poll();
  int Wait();
  // SIGKILL, and waits.
  void Kill();
  // SIGSTOP, and waits until it stands still.
  void Pause() const;

 private:
  pid_t pid_;
  std::optional<int> exit_code_;
};

// SIGSTOP for a child of ours, and waits until all of its threads stand still (or it has ended).
void StopChild(pid_t pid);

// A new folder of our own in the system's folder for temporary files.
std::filesystem::path MakeTemporaryFolder();

// The same, gone with all that is in it when the object goes.
class TemporaryFolder {
 public:
  TemporaryFolder() : path_(MakeTemporaryFolder()) {}
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  const std::filesystem::path path_;
};

// A loopback TCP port that nobody listens on at this moment.
int FreePort();

}  // namespace yagura::testing
