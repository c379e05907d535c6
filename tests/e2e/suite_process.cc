#include "tests/e2e/suite_process.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>

#include "cli/data_dir.h"
#include "fmt/format.h"
#include "gtest/gtest.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::e2e {
namespace {

constexpr std::chrono::seconds kStartTimeout{60};

[[noreturn]] void Die(const std::string& why) {
  std::cerr << "SuiteProcess: " << why << std::endl;
  std::abort();
}

// Files and folders that are called as it is, a dot and more: what was set aside, or written there.
void RemoveWhatLiesBeside(const std::filesystem::path& folder) {
  const std::string prefix = folder.filename().string() + ".";
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder.parent_path(), ignored)) {
    if (entry.path().filename().string().starts_with(prefix)) {
      std::filesystem::remove_all(entry.path(), ignored);
    }
  }
}

}  // namespace

std::string SuiteProcess::Program() {
  const char* folder = std::getenv("YAGURA_BIN_DIR");
  return folder != nullptr ? std::string(folder) + "/yagura" : "yagura";
}

std::string ReadAll(const std::filesystem::path& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

bool Eventually(std::chrono::milliseconds limit, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return true;
}

SuiteProcess::SuiteProcess(std::vector<std::string> arguments) : arguments_(std::move(arguments)) {
  std::string made = (std::filesystem::temp_directory_path() / "yagura-e2e-XXXXXX").string();
  if (mkdtemp(made.data()) == nullptr) Die("cannot make a folder");
  folder_ = made;
  for (const char* name :
       {"grpc", "health", "syslog_udp", "syslog_tcp", "syslog_tls", "http", "otlp", "metrics"}) {
    ports_[name] = "127.0.0.1:0";
  }
  Start();
}

SuiteProcess::~SuiteProcess() {
  child_.reset();
  if (::testing::Test::HasFailure()) {
    std::cerr << "kept for a look: " << folder_ << std::endl;
  } else {
    // The children of a suite that was killed die a moment after it, and write until then.
    Eventually(std::chrono::seconds(20), [this] {
      std::error_code error;
      std::filesystem::remove_all(folder_, error);
      return !error && !std::filesystem::exists(folder_, error);
    });
    RemoveWhatLiesBeside(folder_);
  }
}

// Beside the data folder, which `up` takes only while nothing else is in it.
std::filesystem::path SuiteProcess::OutputFile() const { return folder_.string() + ".out"; }

void SuiteProcess::Start() {
  std::filesystem::remove(cli::EndpointsFile(folder_));
  ChildProcess::Options options;
  options.arguments = {Program(),      "--data-dir",         folder_.string(), "up",
                       "--grpc",       ports_["grpc"],       "--health",       ports_["health"],
                       "--syslog-udp", ports_["syslog_udp"], "--syslog-tcp",   ports_["syslog_tcp"],
                       "--syslog-tls", ports_["syslog_tls"], "--metrics",      ports_["metrics"]};
  options.arguments.insert(options.arguments.end(),
                           {"--http", ports_["http"], "--otlp", ports_["otlp"]});
  options.arguments.insert(options.arguments.end(), arguments_.begin(), arguments_.end());
  options.output = OutputFile();
  auto child = ChildProcess::Start(options);
  if (!child.ok()) Die(std::string(Message(child.status())));
  child_.emplace(std::move(*child));
  const auto deadline = std::chrono::steady_clock::now() + kStartTimeout;
  while (!std::filesystem::exists(cli::EndpointsFile(folder_))) {
    if (child_->ExitStatus() || std::chrono::steady_clock::now() > deadline) {
      Die("the suite does not come up: " + ReadAll(options.output));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  for (auto& [name, address] : ports_) address = Endpoint(name);
}

std::string SuiteProcess::Endpoint(const std::string& name) const {
  const auto endpoints = cli::ReadEndpoints(folder_);
  if (!endpoints.ok()) Die(std::string(Message(endpoints.status())));
  const auto at = endpoints->find(name);
  if (at == endpoints->end()) Die("no endpoint " + name);
  return at->second;
}

cli::Client SuiteProcess::Connect() const {
  return Connect(std::string(Trim(ReadAll(cli::AdminKeyFile(folder_)))));
}

cli::Client SuiteProcess::Connect(const std::string& api_key) const {
  // After a kill, libgrpc may still hand out the connection that was broken by it.
  std::optional<cli::Client> made;
  std::string why;
  Eventually(std::chrono::seconds(20), [&] {
    auto client = cli::Client::Connect({.endpoint = ports_.at("grpc"), .api_key = api_key});
    why = Message(client.status());
    if (client.ok()) made.emplace(std::move(*client));
    return client.ok() || !absl::IsUnavailable(client.status());
  });
  if (!made) Die(why);
  return std::move(*made);
}

pid_t SuiteProcess::Child(const std::string& part) const {
  // Any thread may have started it, so it is in the list of some task.
  const std::string socket = (folder_ / "run" / (part + ".sock")).string();
  std::error_code error;
  const auto tasks = std::filesystem::path("/proc") / std::to_string(pid()) / "task";
  for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
    std::istringstream children(ReadAll(task.path() / "children"));
    for (pid_t child = 0; children >> child;) {
      const auto words =
          ReadAll(std::filesystem::path("/proc") / std::to_string(child) / "cmdline");
      if (words.find(socket) != std::string::npos) return child;
    }
  }
  return 0;
}

bool SuiteProcess::Runs() { return !child_->ExitStatus(); }

void SuiteProcess::KillHard() { child_->Stop(std::chrono::milliseconds(0)); }

void SuiteProcess::Stop() {
  child_->Stop(std::chrono::seconds(60));
  const auto status = child_->ExitStatus();
  EXPECT_TRUE(status && WIFEXITED(*status) && WEXITSTATUS(*status) == 0)
      << (status ? DescribeExit(*status) : "still runs") << "\n"
      << ReadAll(OutputFile());
}

ChildProcess SuiteProcess::Launch(const std::vector<std::string>& arguments,
                                  const std::filesystem::path& output) const {
  ChildProcess::Options options;
  options.arguments = {Program(), "--data-dir", folder_.string()};
  options.arguments.insert(options.arguments.end(), arguments.begin(), arguments.end());
  options.output = output;
  auto child = ChildProcess::Start(options);
  if (!child.ok()) Die(std::string(Message(child.status())));
  return std::move(*child);
}

std::string SuiteProcess::Run(const std::vector<std::string>& arguments,
                              int expected_exit_code) const {
  // Beside the data folder, which a restore wants empty.
  std::string made = folder_.string() + ".run-XXXXXX";
  close(mkstemp(made.data()));
  auto child = Launch(arguments, made);
  Eventually(std::chrono::minutes(2), [&] { return child.ExitStatus().has_value(); });
  const std::string output = ReadAll(made);
  std::filesystem::remove(made);
  const auto status = child.ExitStatus();
  EXPECT_TRUE(status && WIFEXITED(*status) && WEXITSTATUS(*status) == expected_exit_code)
      << Join(arguments, " ") << ": " << (status ? DescribeExit(*status) : "does not end") << "\n"
      << output;
  return output;
}

}  // namespace yagura::e2e
