#include "common/rpc/server.h"

#include <mutex>
#include <thread>
#include <utility>

#include "fmt/format.h"
#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"

#include "common/rpc/credentials.h"
#include "common/rpc/health_monitor.h"
#include "common/rpc/reflection.h"
#include "common/rpc/runtime.h"
#include "common/rpc/server_call.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::rpc {
namespace {

constexpr int kMaxMetadataBytes = 16 << 10;
constexpr int kMaxStreamsPerConnection = 4096;

class Dispatcher final : public grpc::CallbackGenericService {
 public:
  explicit Dispatcher(Runtime& runtime) : runtime_(runtime) {}
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return ServerCall::Start(runtime_, context);
  }

 private:
  Runtime& runtime_;
};

// gRPC makes a health service for every server built while this is set, and the switch is not safe
// to touch from two threads.
void EnableHealthService() {
  static std::once_flag once;
  std::call_once(once, [] { grpc::EnableDefaultHealthCheckService(true); });
}

void SetLimits(grpc::ServerBuilder& builder, const ServerOptions& options) {
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.max_receive_bytes));
  builder.SetMaxSendMessageSize(static_cast<int>(options.max_send_bytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
  // Two servers on one port would share its calls by chance.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  if (options.max_connection_age.count() > 0) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                               static_cast<int>(options.max_connection_age.count()));
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, 60'000);
  }
}

class GrpcServer final : public Server {
 public:
  GrpcServer(const ServerOptions& options, const Platform& platform,
             std::vector<std::unique_ptr<App>> apps)
      : runtime_(options, platform), dispatcher_(runtime_), apps_(std::move(apps)) {}
  ~GrpcServer() override { Stop(); }

  absl::Status Register() {
    for (const auto& app : apps_) {
      AppSlot* slot = AddSlot(std::string(app->name()), runtime_.options.threads_per_app);
      auto registry = runtime_.methods.RegistryFor(slot, runtime_.quotas);
      app->Register(*registry);
    }
    auto services = std::make_shared<std::vector<std::string>>();
    if (runtime_.options.reflection) {
      auto registry = runtime_.methods.RegistryFor(AddSlot("reflection", 1));
      RegisterReflection(*registry, services);
    }
    YAGURA_RETURN_IF_ERROR(runtime_.methods.Complete());
    *services = runtime_.methods.Services();
    services->push_back("grpc.health.v1.Health");
    const std::vector<double> bounds = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                        0.1,    0.25,  0.5,    1,     2.5,  5,     10};
    for (auto& [name, method] : runtime_.methods.methods()) {
      method.latency = runtime_.platform.metrics->GetHistogram(
          "yagura_rpc_duration_seconds", "From the arrival of a call to its end.", bounds,
          {{"method", name}});
    }
    return absl::OkStatus();
  }

  absl::Status StartApps() {
    for (const auto& app : apps_) {
      ++started_;  // counted before: a Start that fails half-way is stopped, too
      if (absl::Status status = app->Start(); !status.ok()) {
        return Annotate(status, std::string(app->name()));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Listen() {
    EnableHealthService();
    const ServerOptions& options = runtime_.options;
    YAGURA_ASSIGN_OR_RETURN(const auto credentials, ServerCredentialsOf(options));
    YAGURA_RETURN_IF_ERROR(CheckPort(options.address));
    YAGURA_RETURN_IF_ERROR(CheckPort(options.health_address));
    grpc::ServerBuilder builder;
    builder.AddListeningPort(options.address, credentials, &port_);
    builder.RegisterCallbackGenericService(&dispatcher_);
    SetLimits(builder, options);
    server_ = builder.BuildAndStart();
    if (!server_) return CannotListen(options.address);
    std::vector<grpc::HealthCheckServiceInterface*> health = {server_->GetHealthCheckService()};
    if (!options.health_address.empty()) {
      grpc::ServerBuilder second;
      // Probes carry no client certificate, and there is nothing to protect.
      second.AddListeningPort(options.health_address, grpc::InsecureServerCredentials(),
                              &health_port_);
      second.RegisterCallbackGenericService(&nothing_);
      SetLimits(second, options);
      health_server_ = second.BuildAndStart();
      if (!health_server_) return CannotListen(options.health_address);
      health.push_back(health_server_->GetHealthCheckService());
    }
    monitor_ = std::make_unique<HealthMonitor>(apps_, std::move(health), runtime_.platform.metrics,
                                               runtime_.platform.logger.Named("health"));
    runtime_.logger.Info("serving", {{"address", options.address}, {"port", port_}});
    return absl::OkStatus();
  }

  int port() const override { return port_; }
  int health_port() const override { return health_port_; }
  const std::vector<std::unique_ptr<App>>& apps() const override { return apps_; }

  void Stop() override {
    const std::lock_guard lock(stop_mutex_);
    if (std::exchange(stopped_, true)) return;
    if (monitor_) monitor_->Stop();
    if (server_) {
      if (runtime_.options.endpoint_removal.count() > 0) {
        std::this_thread::sleep_for(runtime_.options.endpoint_removal);
      }
      runtime_.stopping = true;
      runtime_.EndStreams(Unavailable("SERVER_STOPPING", "the server is stopping"));
      server_->Shutdown(std::chrono::system_clock::now() + runtime_.options.drain);
      runtime_.WaitUntilEmpty();
    }
    if (health_server_) health_server_->Shutdown(std::chrono::system_clock::now());
    runtime_.rights.Stop();
    for (const auto& slot : runtime_.slots) {
      slot->streams->Stop();
      slot->calls->Stop();
    }
    while (started_ > 0) apps_[--started_]->Stop();
    runtime_.deadlines.Stop();
    if (runtime_.audit) runtime_.audit->Stop();
    runtime_.logger.Info("stopped");
  }

 private:
  AppSlot* AddSlot(std::string name, int threads) {
    auto slot = std::make_unique<AppSlot>();
    slot->name = std::move(name);
    slot->calls = std::make_unique<Executor>(threads, runtime_.options.queue_per_app);
    slot->streams = std::make_unique<Executor>(runtime_.options.streams_per_app,
                                               runtime_.options.queue_per_app);
    runtime_.slots.push_back(std::move(slot));
    return runtime_.slots.back().get();
  }
  // gRPC takes 99999 for 34463.
  static absl::Status CheckPort(const std::string& address) {
    const size_t colon = address.rfind(':');
    if (address.starts_with("unix") || colon == std::string::npos) return absl::OkStatus();
    if (ParseNumber<uint16_t>(std::string_view(address).substr(colon + 1))) return absl::OkStatus();
    return InvalidField("address",
                        fmt::format("\"{}\" is not address:port with a port to 65535", address));
  }

  static absl::Status CannotListen(const std::string& address) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "CANNOT_LISTEN",
                     fmt::format("cannot listen on {}", address));
  }

  Runtime runtime_;
  Dispatcher dispatcher_;
  grpc::CallbackGenericService nothing_;  // answers UNIMPLEMENTED
  std::vector<std::unique_ptr<App>> apps_;
  size_t started_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<grpc::Server> health_server_;
  std::unique_ptr<HealthMonitor> monitor_;
  int port_ = 0;
  int health_port_ = 0;
  std::mutex stop_mutex_;
  bool stopped_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      const Platform& platform,
                                                      std::vector<std::unique_ptr<App>> apps) {
  auto server = std::make_unique<GrpcServer>(options, platform, std::move(apps));
  YAGURA_RETURN_IF_ERROR(server->Register());
  YAGURA_RETURN_IF_ERROR(server->StartApps());
  YAGURA_RETURN_IF_ERROR(server->Listen());
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace yagura::rpc
