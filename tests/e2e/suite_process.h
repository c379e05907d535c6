#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/client.h"

#include "common/process/child_process.h"

namespace yagura::e2e {

// A real `yagura up` on free ports in a temporary folder, with its own Redis and event store.
class SuiteProcess {
 public:
  // `arguments` are added to those of `up`. Aborts the test program where it does not come up.
  explicit SuiteProcess(std::vector<std::string> arguments = {});
  ~SuiteProcess();

  // The program `yagura`.
  static std::string Program();
  // The newest endpoints.json; children that were restarted meanwhile have other process ids.
  std::string Endpoint(const std::string& name) const;
  const std::filesystem::path& data_dir() const { return folder_; }
  // What the suite's process writes.
  std::filesystem::path OutputFile() const;
  // As the administrator.
  cli::Client Connect() const;
  // With another API key.
  cli::Client Connect(const std::string& api_key) const;

  pid_t pid() const { return child_->pid(); }
  // Process id of the child that listens at "state", "flow" or "store"; 0 while none runs.
  pid_t Child(const std::string& part) const;
  bool Runs();      // false once the suite's process has ended
  void KillHard();  // the suite; its children die with it
  void Start();     // again, on the same data and the same ports
  void Stop();      // SIGTERM; fails the test where it does not end with 0

  // Runs `yagura <arguments>` against this suite; gives what it writes.
  std::string Run(const std::vector<std::string>& arguments, int expected_exit_code = 0) const;
  // The same in the background, its output in `output`.
  ChildProcess Launch(const std::vector<std::string>& arguments,
                      const std::filesystem::path& output) const;

 private:
  std::filesystem::path folder_;
  std::vector<std::string> arguments_;
  std::map<std::string, std::string> ports_;  // taken at the first start
  std::optional<ChildProcess> child_;
};

std::string ReadAll(const std::filesystem::path& path);

// Looks until `condition` holds; false where it does not within `limit`.
bool Eventually(std::chrono::milliseconds limit, const std::function<bool()>& condition);

}  // namespace yagura::e2e
