#include "services/ingestion/api/push_session.h"

#include <algorithm>

#include "fmt/format.h"
#include "grpcpp/support/status.h"

#include "common/rpc/channels.h"
#include "common/status/status.h"
#include "services/ingestion/domain/framing.h"
#include "services/ingestion/domain/intake.h"
#include "services/ingestion/domain/parsers/registry.h"
#include "services/ingestion/ingestion_metrics.h"
#include "services/ingestion/storage/batch_sink.h"
#include "services/ingestion/workers/current_sources.h"

namespace yagura::ingestion {
namespace {

constexpr int kMaxLines = 8192;
constexpr size_t kMaxBytes = 4 << 20;
constexpr size_t kMaxBatchId = 128;
constexpr size_t kMaxSource = 128;
constexpr auto kRetryDelay = std::chrono::milliseconds(250);

bool IsBatchIdChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == ':' || c == '-';
}

// The tenant id of "tenants/{tenant}"; "-" for all; empty where it is neither.
std::string_view TenantOf(std::string_view parent) {
  constexpr std::string_view kPrefix = "tenants/";
  if (!parent.starts_with(kPrefix)) return {};
  const std::string_view tenant = parent.substr(kPrefix.size());
  return tenant.find('/') == tenant.npos ? tenant : std::string_view{};
}

Status Validate(const v1::PushRequest& request) {
  FieldErrors errors;
  if (TenantOf(request.parent()).empty()) errors.Add("parent", "must be \"tenants/{tenant}\"");
  const std::string& id = request.batch_id();
  if (id.empty() || id.size() > kMaxBatchId || !std::all_of(id.begin(), id.end(), IsBatchIdChar)) {
    errors.Add("batch_id", "must be 1 to 128 characters of [A-Za-z0-9._:-]");
  }
  size_t bytes = 0;
  for (const std::string& line : request.lines()) bytes += line.size();
  if (request.lines().empty() || request.lines_size() > kMaxLines || bytes > kMaxBytes) {
    errors.Add("lines", "must be 1 to 8,192 lines of together at most 4 MiB");
  }
  if (request.source().size() > kMaxSource) errors.Add("source", "is longer than 128 bytes");
  if (!ParserRegistry::IsKnownSetting(request.parser())) {
    errors.Add("parser", "must be \"auto\", \"fortigate\", \"syslog\" or \"json\"");
  }
  return errors.ToStatus();
}

class PushSession final : public rpc::StreamSession<v1::PushRequest> {
 public:
  PushSession(const ListenerParts& parts, const rpc::Call& call,
              rpc::Outbox<v1::PushResponse> outbox)
      : sink_(parts.sink),
        sources_(parts.sources),
        metrics_(parts.metrics),
        clock_(parts.clock),
        outbox_(std::move(outbox)),
        intake_(parts.intake, parts.quarantine),
        sender_(Sender{"push", {}, call.principal().name}) {
    sender_.may_write = [scope = call.scope()](std::string_view tenant) {
      return scope.Contains(tenant);
    };
  }

  Status OnMessage(const v1::PushRequest& request) override {
    v1::PushResponse response;
    response.set_batch_id(request.batch_id());
    const Status status = Take(request);
    if (status.ok()) {
      response.set_event_count(static_cast<uint32_t>(request.lines_size()));
    } else {
      // The wire form of the status, with its details.
      const grpc::Status wire = rpc::ToGrpc(status);
      if (!response.mutable_status()->ParseFromString(wire.error_details())) {
        response.mutable_status()->Clear();
      }
      response.mutable_status()->set_code(static_cast<int>(wire.error_code()));
      response.mutable_status()->set_message(wire.error_message());
    }
    // Never waits: a sender that reads no answers must not hold one of the threads of all senders.
    // The outbox has room for more answers than may be outstanding.
    outbox_.Push(std::move(response));
    return absl::OkStatus();
  }

  void OnClientDone() override { outbox_.Finish(absl::OkStatus()); }

 private:
  Status Take(const v1::PushRequest& request) {
    YAGURA_RETURN_IF_ERROR(Validate(request));
    const auto sources = sources_->Get();
    if (sources == nullptr) {
      return WithRetryDelay(
          Unavailable("SOURCES_UNKNOWN", "the sources of the directory are not loaded yet"),
          kRetryDelay);
    }
    const std::string& principal = sender_.sender.credential;
    const std::string_view tenant = TenantOf(request.parent());
    sender_.tenant = tenant == "-" ? std::string_view{} : tenant;
    sender_.parser = request.parser() == "auto" ? std::string() : request.parser();
    sender_.origin =
        request.source().empty() ? principal : fmt::format("{} {}", principal, request.source());
    // The same for every repeat, so that the streams know it again.
    intake_.Begin(event::BatchIdOf({"push", principal, request.batch_id()}));
    const TimePoint receive_time = clock_->Now();
    for (const std::string& line : request.lines()) {
      intake_.Add(sender_, sources, line, false, receive_time, {});
    }
    const std::vector<ReadyBatch> batches = intake_.TakeAll();
    const Status appended = sink_->Append(batches);
    if (!appended.ok()) return WithRetryDelay(appended, kRetryDelay);
    for (const ReadyBatch& batch : batches) metrics_->CountReceived(batch);
    return absl::OkStatus();
  }

  const std::shared_ptr<BatchSink> sink_;
  const std::shared_ptr<CurrentSources> sources_;
  const std::shared_ptr<IngestionMetrics> metrics_;
  const std::shared_ptr<const Clock> clock_;
  const rpc::Outbox<v1::PushResponse> outbox_;
  Intake intake_;
  SenderState sender_;
};

}  // namespace

StatusOr<std::unique_ptr<rpc::StreamSession<v1::PushRequest>>> MakePushSession(
    const ListenerParts& parts, const rpc::Call& call, rpc::Outbox<v1::PushResponse> outbox) {
  return std::make_unique<PushSession>(parts, call, std::move(outbox));
}

}  // namespace yagura::ingestion
