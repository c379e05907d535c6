#include "common/testing/event_store.h"

#include <signal.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "common/status/status.h"
#include "common/testing/patience.h"
#include "common/testing/process.h"

namespace yagura::testing {
namespace {

[[noreturn]] void Abort(std::string_view why) {
  std::fprintf(stderr, "event store fixture: %.*s\n", static_cast<int>(why.size()), why.data());
  std::abort();
}

constexpr std::string_view kConfigBegin = "<clickhouse>";
constexpr std::string_view kKeeper =
    "<zookeeper><implementation>testkeeper</implementation></zookeeper>"
    "<macros><replica>r1</replica></macros>";

std::string WithFolder(std::string text, const std::string& folder) {
  constexpr std::string_view kPlace = "{folder}";
  for (size_t at = text.find(kPlace); at != std::string::npos;
       at = text.find(kPlace, at + folder.size())) {
    text.replace(at, kPlace.size(), folder);
  }
  return text;
}

}  // namespace

std::filesystem::path ProgramPath(const std::string& name) {
  if (const char* folder = std::getenv("YAGURA_BIN_DIR"); folder != nullptr) {
    return std::filesystem::path(folder) / name;
  }
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return self.parent_path().parent_path() / "bin" / name;
}

bool EventStore::ReplicatedByDefault() { return std::getenv("YAGURA_TEST_CLUSTER") != nullptr; }

// The program as it is, with what wakes its replicated tables.
std::filesystem::path EventStore::WriteReplicatedProgram() const {
  const auto engine = ProgramPath("libyagura_replicated_engine.so");
  if (!std::filesystem::exists(engine)) Abort("libyagura_replicated_engine.so was not built");
  const auto script = folder_ / "store-of-a-cluster";
  std::ofstream(script) << "#!/bin/sh\nLD_PRELOAD='" << engine.string() << "' exec '"
                        << ProgramPath("yagura-store").string() << "' \"$@\"\n";
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  return script;
}

EventStore::EventStore() : EventStore(Options{}) {}

EventStore::EventStore(const Options& options) : options_(options), folder_(MakeTemporaryFolder()) {
  Start();
}

EventStore::~EventStore() {
  Stop();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void EventStore::Start() {
  eventstore::StoreProcess::Options options;
  options.program = ProgramPath("yagura-store");
  options.data_dir = folder_ / "data";
  options.socket = folder_ / "store.sock";
  options.log_file = folder_ / "store.log";
  options.memory_limit_bytes = options_.memory_limit_bytes;
  std::string config = options_.config;
  if (options_.replicated) {
    options.program = WriteReplicatedProgram();
    if (config.empty()) config = "<clickhouse></clickhouse>";
    config.replace(config.find(kConfigBegin), kConfigBegin.size(),
                   std::string(kConfigBegin) + std::string(kKeeper));
  }
  if (!config.empty()) {
    options.config_file = folder_ / "store.xml";
    std::ofstream(options.config_file) << WithFolder(config, folder_.string());
  }
  auto process = eventstore::StoreProcess::Start(options, Logger::Null());
  if (!process.ok()) Abort(Message(process.status()));
  process_ = *std::move(process);
  eventstore::ClientOptions client;
  client.addresses = {process_->address()};
  client_ = std::make_unique<eventstore::Client>(client);
}

void EventStore::Stop() { process_.reset(); }

std::string EventStore::address() const { return "unix:" + (folder_ / "store.sock").string(); }

void EventStore::KillHard() const {
  const pid_t pid = process_->pid();
  if (pid > 0) kill(pid, SIGKILL);
}

void EventStore::Pause() const { StopChild(process_->pid()); }
void EventStore::Resume() const { kill(process_->pid(), SIGCONT); }

void EventStore::AwaitUp() const {
  const auto deadline = std::chrono::steady_clock::now() + Patient(std::chrono::seconds(30));
  while (!process_->Health().ok()) {
    if (std::chrono::steady_clock::now() > deadline) Abort("the store does not come back");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace yagura::testing
