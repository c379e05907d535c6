#include "common/eventstore/store_process.h"

#include <utility>
#include <vector>

#include "fmt/format.h"

#include "common/eventstore/client.h"
#include "common/process/supervisor.h"
#include "common/status/status.h"

namespace yagura::eventstore {
namespace {

constexpr std::chrono::milliseconds kPingTimeout{1'000};
constexpr size_t kMaxSocketPath = 107;

Status NotStarted(std::string_view why) {
  return Unavailable("STORE_NOT_STARTED", fmt::format("yagura-store did not start: {}", why));
}

std::string AddressOf(const StoreProcess::Options& options) {
  return "unix:" + options.socket.string();
}

ClientOptions PingOptions(const StoreProcess::Options& options) {
  ClientOptions client;
  client.addresses = {AddressOf(options)};
  client.connect_timeout = kPingTimeout;
  return client;
}

std::vector<std::string> Arguments(const StoreProcess::Options& options) {
  std::vector<std::string> arguments = {options.program.string(), "--data-dir",
                                        options.data_dir.string(), "--socket",
                                        options.socket.string()};
  if (options.memory_limit_bytes > 0) {
    arguments.insert(arguments.end(),
                     {"--memory-limit", std::to_string(options.memory_limit_bytes)});
  }
  if (!options.config_file.empty()) {
    arguments.insert(arguments.end(), {"--config-file", options.config_file.string()});
  }
  if (!options.libchdb.empty()) {
    arguments.insert(arguments.end(), {"--libchdb", options.libchdb.string()});
  }
  return arguments;
}

}  // namespace

struct StoreProcess::Impl {
  Impl(const Options& options, Logger logger)
      : address(AddressOf(options)),
        client(PingOptions(options)),
        supervisor(SupervisorOptions(options), std::move(logger)) {}

  Supervisor::Options SupervisorOptions(const Options& options) {
    Supervisor::Options supervised;
    supervised.name = "yagura-store";
    supervised.child.arguments = Arguments(options);
    supervised.child.output = options.log_file;
    supervised.ready = [this] { return client.Ping(kPingTimeout).ok(); };
    supervised.start_timeout = options.start_timeout;
    supervised.stop_timeout = options.stop_timeout;
    return supervised;
  }

  const std::string address;
  Client client;
  Supervisor supervisor;
};

StoreProcess::StoreProcess(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

StatusOr<std::unique_ptr<StoreProcess>> StoreProcess::Start(const Options& options, Logger logger) {
  if (options.socket.string().size() > kMaxSocketPath) {
    return NotStarted(fmt::format("the socket's path is longer than {} bytes: {}", kMaxSocketPath,
                                  options.socket.string()));
  }
  std::unique_ptr<StoreProcess> process(
      new StoreProcess(std::make_unique<Impl>(options, std::move(logger))));
  if (const Status status = process->impl_->supervisor.Start(); !status.ok()) {
    // What ended it, as a library that is missing, it said in its own log.
    return NotStarted(options.log_file.empty() ? std::string(Message(status))
                                               : fmt::format("{}; its log is {}", Message(status),
                                                             options.log_file.string()));
  }
  return process;
}

StoreProcess::~StoreProcess() { Stop(); }

std::string StoreProcess::address() const { return impl_->address; }
pid_t StoreProcess::pid() const { return impl_->supervisor.pid(); }
int StoreProcess::restarts() const { return impl_->supervisor.restarts(); }
Status StoreProcess::Health() const { return impl_->client.Ping(kPingTimeout); }
void StoreProcess::Stop() { impl_->supervisor.Stop(); }

}  // namespace yagura::eventstore
