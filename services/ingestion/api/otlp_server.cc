#include "services/ingestion/api/otlp_server.h"

#include <chrono>

#include "fmt/format.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"

#include "common/rpc/channels.h"
#include "common/rpc/credentials.h"
#include "common/rpc/executor.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "opentelemetry/proto/collector/logs/v1/logs_service.grpc.pb.h"
#include "services/ingestion/domain/http_bodies.h"
#include "services/ingestion/domain/otlp_records.h"

namespace yagura::ingestion {
namespace {

namespace otlp = opentelemetry::proto::collector::logs::v1;

constexpr std::string_view kPermission = "ingestion.events.push";
constexpr auto kRetryDelay = std::chrono::seconds(1);
constexpr size_t kQueuePerThread = 32;
constexpr auto kDrain = std::chrono::seconds(2);

Status KeyMissing() {
  return MakeError(absl::StatusCode::kUnauthenticated, "KEY_MISSING",
                   "an API key is required: authorization: Bearer KEY");
}

std::string SecretOf(const grpc::CallbackServerContext& context) {
  const auto& metadata = context.client_metadata();
  if (metadata.count("authorization") != 1) return "";
  const auto& header = metadata.find("authorization")->second;
  const std::string_view value(header.data(), header.size());
  constexpr std::string_view kScheme = "bearer ";
  if (value.size() <= kScheme.size() ||
      !EqualsIgnoreCase(value.substr(0, kScheme.size()), kScheme)) {
    return "";
  }
  return std::string(Trim(value.substr(kScheme.size())));
}

class LogsService final : public otlp::LogsService::CallbackService {
 public:
  LogsService(const ListenerParts& parts, std::shared_ptr<ApiKeys> keys, int threads)
      : keys_(std::move(keys)),
        intake_(parts),
        jobs_(threads, static_cast<size_t>(threads) * kQueuePerThread) {}

  grpc::ServerUnaryReactor* Export(grpc::CallbackServerContext* context,
                                   const otlp::ExportLogsServiceRequest* request,
                                   otlp::ExportLogsServiceResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    // gRPC's few threads must not wait for Redis, nor for the directory.
    const bool taken = jobs_.TrySubmit([this, context, request, response, reactor] {
      // Who has gone sends again: what waited for him must not be kept twice.
      if (context->IsCancelled()) return reactor->Finish(grpc::Status::CANCELLED);
      reactor->Finish(Answer(Take(*context, *request, *response)));
    });
    if (!taken) reactor->Finish(Answer(Unavailable("SERVICE_BUSY", "too many requests wait")));
    return reactor;
  }

  // After the server: nobody asks any more.
  void Stop() { jobs_.Stop(); }

 private:
  static grpc::Status Answer(Status status) {
    const bool again = status.code() == absl::StatusCode::kUnavailable ||
                       (status.code() == absl::StatusCode::kResourceExhausted &&
                        ErrorReason(status) != "TOO_MANY_BAD_KEYS");
    // Without a delay senders of OTLP do not come back.
    if (again) status = WithRetryDelay(status, kRetryDelay);
    return rpc::ToGrpc(status);
  }

  Status Take(const grpc::CallbackServerContext& context,
              const otlp::ExportLogsServiceRequest& request,
              otlp::ExportLogsServiceResponse& response) {
    const std::string secret = SecretOf(context);
    if (secret.empty()) return KeyMissing();
    YAGURA_ASSIGN_OR_RETURN(const auto principal, keys_->Resolve(secret, context.peer()));
    const auth::TenantSet tenants = principal->TenantsFor(kPermission);
    if (tenants.empty()) {
      return MakeError(absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED",
                       "the key may not push logs");
    }
    size_t records = 0;
    for (const auto& logs : request.resource_logs()) {
      for (const auto& scope : logs.scope_logs()) {
        records += static_cast<size_t>(scope.log_records_size());
      }
    }
    if (records > kMaxRecords) {
      return MakeError(absl::StatusCode::kInvalidArgument, "TOO_MANY_RECORDS",
                       fmt::format("a request may have at most {} records", kMaxRecords));
    }
    OtlpRecords read = ReadOtlp(request);
    if (!read.records.empty()) {
      RecordSender sender;
      sender.sender = Sender{"otlp", {}, principal->name, {}};
      sender.origin = principal->name;
      // A key of one tenant sends for that; else sources say.
      if (!tenants.all && tenants.tenants.size() == 1) sender.tenant = *tenants.tenants.begin();
      sender.may_write = [&tenants](std::string_view tenant) { return tenants.Contains(tenant); };
      YAGURA_RETURN_IF_ERROR(intake_.Take(sender, read.records));
    }
    if (read.refused > 0) {
      response.mutable_partial_success()->set_rejected_log_records(read.refused);
      response.mutable_partial_success()->set_error_message(read.why);
    }
    return absl::OkStatus();
  }

  const std::shared_ptr<ApiKeys> keys_;
  RecordIntake intake_;
  rpc::Executor jobs_;
};

class GrpcOtlpServer final : public OtlpServer {
 public:
  GrpcOtlpServer(const ListenerParts& parts, std::shared_ptr<ApiKeys> keys, int threads)
      : service_(parts, std::move(keys), threads) {}
  ~GrpcOtlpServer() override { Stop(); }

  Status Listen(const OtlpServerOptions& options) {
    rpc::ServerOptions tls;
    tls.tls_certificate_file = options.tls_certificate;
    tls.tls_key_file = options.tls_key;
    YAGURA_ASSIGN_OR_RETURN(const auto credentials, rpc::ServerCredentialsOf(tls));
    grpc::ResourceQuota quota("otlp");
    quota.Resize(options.memory_bytes);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(options.address, credentials, &port);
    builder.RegisterService(&service_);
    builder.SetResourceQuota(quota);
    builder.SetMaxReceiveMessageSize(static_cast<int>(options.request_bytes));
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 100);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port == 0) {
      return Unavailable("LISTEN_FAILED", fmt::format("cannot listen on {}", options.address));
    }
    address_ = fmt::format("{}:{}", options.address.substr(0, options.address.rfind(':')), port);
    return absl::OkStatus();
  }

  const std::string& address() const override { return address_; }

  void Stop() override {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now() + kDrain);
    service_.Stop();
    server_.reset();
  }

 private:
  LogsService service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace

StatusOr<std::unique_ptr<OtlpServer>> OtlpServer::Start(const OtlpServerOptions& options,
                                                        const ListenerParts& parts,
                                                        std::shared_ptr<ApiKeys> keys) {
  auto server = std::make_unique<GrpcOtlpServer>(parts, std::move(keys), options.threads);
  YAGURA_RETURN_IF_ERROR(server->Listen(options));
  return server;
}

}  // namespace yagura::ingestion
