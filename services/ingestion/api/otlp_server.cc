#include "services/ingestion/api/otlp_server.h"

#include <sys/socket.h>

#include <chrono>
#include <mutex>

#include "fmt/format.h"
#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/slice.h"

#include "common/rpc/authenticator.h"
#include "common/rpc/channels.h"
#include "common/rpc/credentials.h"
#include "common/rpc/peer.h"
#include "common/rpc/timers.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "opentelemetry/proto/collector/logs/v1/logs_service.pb.h"
#include "services/ingestion/domain/http_bodies.h"
#include "services/ingestion/domain/otlp_records.h"
#include "services/ingestion/workers/connection_gate.h"
#include "services/ingestion/workers/fair_executor.h"
#include "services/ingestion/workers/shares.h"
#include "services/ingestion/workers/socket.h"

namespace yagura::ingestion {
namespace {

namespace otlp = opentelemetry::proto::collector::logs::v1;

constexpr std::string_view kMethod = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
constexpr std::string_view kPermission = "ingestion.events.push";
constexpr auto kRetryDelay = std::chrono::seconds(1);
constexpr size_t kQueuePerThread = 32;
// Threads that ask the directory for keys which are not known, so that nobody with a known one
// waits for them.
constexpr int kKeyThreads = 2;
constexpr size_t kKeyQueue = 256;
constexpr uint64_t kMaxIncoming = 1024;  // requests that are coming in
constexpr int kMaxMetadataBytes = 16 << 10;
constexpr auto kDrain = std::chrono::seconds(5);
constexpr int kHandshakeMs = 10'000;  // of TLS and HTTP/2 together

Status KeyMissing() {
  return MakeError(absl::StatusCode::kUnauthenticated, "KEY_MISSING",
                   "an API key is required: authorization: Bearer KEY");
}

Status Busy(std::string_view why) {
  return WithRetryDelay(MakeError(absl::StatusCode::kResourceExhausted, "SERVICE_BUSY", why),
                        kRetryDelay);
}

std::string SecretOf(const grpc::GenericCallbackServerContext& context) {
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

std::string Flat(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  bytes.reserve(buffer.Length());
  if (!buffer.Dump(&slices).ok()) return {};
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

// gRPC's own inflation knows no bound, and does not say whether there was anything to inflate. A
// gzip head is no protobuf message (its first byte has no wire type), a zlib one is none of OTLP's.
bool IsCompressed(std::string_view bytes) {
  if (bytes.starts_with("\x1f\x8b")) return true;
  return bytes.size() > 2 && bytes[0] == '\x78' &&
         (static_cast<unsigned char>(bytes[0]) * 256 + static_cast<unsigned char>(bytes[1])) % 31 ==
             0;
}

// The parts that all requests share.
struct Shared {
  Shared(const OtlpServerOptions& options_in, const ListenerParts& parts,
         std::shared_ptr<ApiKeys> keys_in, const TenantCharges& charges_in)
      : options(options_in),
        keys(std::move(keys_in)),
        charges(charges_in),
        intake(parts),
        incoming(kMaxIncoming),
        bytes(options.memory_bytes),
        timers(SystemClock()),
        doors(kKeyThreads, kKeyQueue),
        jobs(options.threads, static_cast<size_t>(options.threads) * kQueuePerThread) {}

  const OtlpServerOptions options;
  const std::shared_ptr<ApiKeys> keys;
  const TenantCharges charges;
  RecordIntake intake;
  Shares incoming;  // requests that may come in
  Shares bytes;     // of those that came and are not answered
  rpc::Timers timers;
  FairExecutor doors;
  FairExecutor jobs;
};

// One request: key, then bytes, then records. Deleted in OnDone, as gRPC wants it.
class ExportCall final : public grpc::ServerGenericBidiReactor {
 public:
  ExportCall(Shared& shared, grpc::GenericCallbackServerContext* context)
      : shared_(shared), context_(context), alive_(std::make_shared<Alive>(context)) {}

  void Begin() {
    if (context_->method() != kMethod) {
      return End(MakeError(absl::StatusCode::kUnimplemented, "METHOD_UNKNOWN",
                           "the port serves LogsService/Export alone"));
    }
    secret_ = SecretOf(*context_);
    if (secret_.empty()) return End(KeyMissing());
    auto known = shared_.keys->Look(secret_);
    if (!known.ok()) return End(known.status());
    if (*known != nullptr) return Admit(*std::move(known));
    // gRPC's few threads must not wait for the directory.
    const bool taken = shared_.doors.TrySubmit(rpc::PeerNetwork(context_->peer()), [this] {
      auto principal = shared_.keys->Resolve(secret_, context_->peer());
      if (!principal.ok()) return End(principal.status());
      Admit(*std::move(principal));
    });
    if (!taken) End(Busy("too many keys wait to be looked at"));
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      return End(MakeError(absl::StatusCode::kInvalidArgument, "REQUEST_MISSING",
                           "the call has no request"));
    }
    alive_->Arrived();
    shared_.incoming.Give(home_, std::exchange(incoming_, 0));
    if (buffer_.Length() > shared_.options.request_bytes) return End(TooLarge());
    if (!shared_.bytes.Take(home_, buffer_.Length())) {
      return End(Busy("too many bytes wait"));
    }
    bytes_ = buffer_.Length();
    const bool taken = shared_.jobs.TrySubmit(home_, [this] {
      // Who has gone sends again: what waited for him must not be kept twice.
      if (context_->IsCancelled()) return Finish(grpc::Status::CANCELLED);
      const Status status = Take();
      if (!status.ok()) return End(status);
      StartWriteAndFinish(&answer_, grpc::WriteOptions(), grpc::Status::OK);
    });
    if (!taken) End(Busy("too many requests wait"));
  }

  void OnDone() override {
    alive_->Arrived();
    shared_.incoming.Give(home_, incoming_);
    shared_.bytes.Give(home_, bytes_);
    delete this;
  }

 private:
  // What the timer knows of the request, which may be gone by then.
  class Alive {
   public:
    explicit Alive(grpc::GenericCallbackServerContext* context) : context_(context) {}
    void Arrived() {
      const std::lock_guard lock(mutex_);
      context_ = nullptr;
    }
    void CutOff() {
      const std::lock_guard lock(mutex_);
      if (context_ != nullptr) context_->TryCancel();
    }

   private:
    std::recursive_mutex mutex_;  // a cancellation may end the call before it returns
    grpc::GenericCallbackServerContext* context_;
  };

  Status TooLarge() const {
    return MakeError(
        absl::StatusCode::kResourceExhausted, "BODY_TOO_LARGE",
        fmt::format("a request may have at most {} bytes", shared_.options.request_bytes));
  }

  void End(Status status) {
    // Without a delay senders of OTLP do not come back.
    if (status.code() == absl::StatusCode::kUnavailable || ErrorReason(status) == "FLOW_FULL") {
      status = WithRetryDelay(status, kRetryDelay);
    }
    Finish(rpc::ToGrpc(status));
  }

  // The key is good: from here on it is its tenant that is charged.
  void Admit(ApiKeys::PrincipalPtr principal) {
    principal_ = std::move(principal);
    tenants_ = principal_->TenantsFor(kPermission);
    if (tenants_.empty()) {
      return End(MakeError(absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED",
                           "the key may not push logs"));
    }
    home_ = rpc::HomeTenantOf(*principal_);
    if (Status status = shared_.charges.Begin(home_); !status.ok()) return End(status);
    if (!shared_.incoming.Take(home_, 1)) return End(Busy("too many requests come in at once"));
    incoming_ = 1;
    shared_.timers.After(shared_.options.timeout, [alive = alive_] { alive->CutOff(); });
    StartRead(&buffer_);
  }

  Status Take() {
    std::string request = Flat(buffer_);
    buffer_.Clear();
    if (IsCompressed(request)) {
      auto inflated = Inflate(request, shared_.options.request_bytes);
      if (!inflated.ok()) {
        if (inflated.status().code() == absl::StatusCode::kResourceExhausted) return TooLarge();
        return inflated.status();
      }
      request = *std::move(inflated);
    }
    shared_.charges.Bytes(home_, request.size());
    RecordSender sender;
    sender.sender = Sender{"otlp", {}, principal_->name, {}};
    sender.origin = principal_->name;
    // A key of one tenant sends for that; else sources say.
    if (!tenants_.all && tenants_.tenants.size() == 1) sender.tenant = *tenants_.tenants.begin();
    sender.may_write = [this](std::string_view tenant) { return tenants_.Contains(tenant); };
    OtlpOutcome outcome;
    YAGURA_RETURN_IF_ERROR(
        shared_.intake.Take(sender, [&](const RecordIntake::Adder& add) -> Status {
          YAGURA_ASSIGN_OR_RETURN(outcome, ReadOtlp(request, [&add](std::string_view line,
                                                                    const LineEnvelope& envelope) {
                                    add(line, envelope, false);
                                  }));
          return absl::OkStatus();
        }));
    otlp::ExportLogsServiceResponse response;
    if (outcome.refused > 0) {
      response.mutable_partial_success()->set_rejected_log_records(outcome.refused);
      response.mutable_partial_success()->set_error_message(outcome.why);
    }
    const std::string bytes = response.SerializeAsString();
    const grpc::Slice slice(bytes);
    answer_ = grpc::ByteBuffer(&slice, 1);
    return absl::OkStatus();
  }

  Shared& shared_;
  grpc::GenericCallbackServerContext* const context_;
  const std::shared_ptr<Alive> alive_;
  std::string secret_;
  ApiKeys::PrincipalPtr principal_;
  auth::TenantSet tenants_;
  std::string home_;       // the tenant that is charged
  uint64_t incoming_ = 0;  // of the places, and
  uint64_t bytes_ = 0;     // of the bytes that it holds
  grpc::ByteBuffer buffer_;
  grpc::ByteBuffer answer_;
};

class LogsService final : public grpc::CallbackGenericService {
 public:
  explicit LogsService(Shared& shared) : shared_(shared) {}
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    auto* call = new ExportCall(shared_, context);
    call->Begin();
    return call;
  }

 private:
  Shared& shared_;
};

class GrpcOtlpServer final : public OtlpServer {
 public:
  GrpcOtlpServer(const OtlpServerOptions& options, const ListenerParts& parts,
                 std::shared_ptr<ApiKeys> keys, const TenantCharges& charges)
      : shared_(options, parts, std::move(keys), charges), parts_(parts), service_(shared_) {}
  ~GrpcOtlpServer() override { Stop(); }

  Status Listen() {
    const OtlpServerOptions& options = shared_.options;
    rpc::ServerOptions tls;
    tls.tls_certificate_file = options.tls_certificate;
    tls.tls_key_file = options.tls_key;
    YAGURA_ASSIGN_OR_RETURN(const auto credentials, rpc::ServerCredentialsOf(tls));
    grpc::ResourceQuota quota("otlp");
    quota.Resize(options.memory_bytes);
    YAGURA_RETURN_IF_ERROR(CheckFree(options.address, SOCK_STREAM));
    YAGURA_ASSIGN_OR_RETURN(Socket listening, Bind(options.address, SOCK_STREAM));
    grpc::ServerBuilder builder;
    using Type = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
    acceptor_ = builder.experimental().AddExternalConnectionAcceptor(Type::FROM_FD, credentials);
    builder.RegisterCallbackGenericService(&service_);
    builder.SetResourceQuota(quota);
    builder.SetMaxReceiveMessageSize(static_cast<int>(options.request_bytes));
    builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 100);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
    builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS,
                               static_cast<int>(options.idle_timeout.count()));
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) {
      return Unavailable("LISTEN_FAILED", fmt::format("cannot listen on {}", options.address));
    }
    const int fd = listening.fd();
    gate_ = std::make_unique<ConnectionGate>(
        "otlp", std::move(listening), parts_, static_cast<size_t>(options.connections_per_address),
        [this, fd](int connection) {
          grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
          parameters.listener_fd = fd;
          parameters.fd = connection;
          acceptor_->HandleNewConnection(&parameters);
        });
    address_ = gate_->address();
    return absl::OkStatus();
  }

  const std::string& address() const override { return address_; }

  void Stop() override {
    if (server_ == nullptr) return;
    gate_.reset();
    server_->Shutdown(std::chrono::system_clock::now() + kDrain);
    // Nobody asks any more.
    shared_.doors.Stop();
    shared_.jobs.Stop();
    shared_.timers.Stop();
    server_.reset();
  }

 private:
  Shared shared_;
  const ListenerParts parts_;
  LogsService service_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<ConnectionGate> gate_;
  std::string address_;
};

}  // namespace

StatusOr<std::unique_ptr<OtlpServer>> OtlpServer::Start(const OtlpServerOptions& options,
                                                        const ListenerParts& parts,
                                                        std::shared_ptr<ApiKeys> keys,
                                                        const TenantCharges& charges) {
  auto server = std::make_unique<GrpcOtlpServer>(options, parts, std::move(keys), charges);
  YAGURA_RETURN_IF_ERROR(server->Listen());
  return server;
}

}  // namespace yagura::ingestion
