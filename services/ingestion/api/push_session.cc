#include "services/ingestion/api/push_session.h"

#include <algorithm>
#include <utility>

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

Status Validate(const v1::PushRequest& request, const ParserCatalogue* parsers) {
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
  if (!ParserRegistry::IsKnownSetting(request.parser(), parsers)) {
    errors.Add("parser", "there is no such parser");
  }
  return errors.ToStatus();
}

class PushSession final : public rpc::StreamSession<v1::PushRequest> {
 public:
  PushSession(const ListenerParts& parts, std::chrono::milliseconds patience, const rpc::Call& call,
              rpc::Outbox<v1::PushResponse> outbox)
      : sink_(parts.sink),
        sources_(parts.sources),
        metrics_(parts.metrics),
        clock_(parts.clock),
        outbox_(std::move(outbox)),
        patience_(patience),
        parsers_(parts.intake.parsers),
        intake_(parts.intake, parts.quarantine),
        sender_(Sender{"push", {}, call.principal().name, {}}) {
    sender_.may_write = [scope = call.scope()](std::string_view tenant) {
      return scope.Contains(tenant);
    };
  }

  Status OnMessage(const v1::PushRequest& request) override {
    batch_id_ = request.batch_id();
    line_count_ = request.lines_size();
    give_up_ = clock_->SteadyNow() + patience_;
    Settle(request, Read(request));
    return absl::OkStatus();
  }

  std::chrono::milliseconds Pause() const override { return pause_; }

  Status OnResume() override {
    const v1::PushRequest request = std::exchange(unread_, {});
    Settle(request, batches_.empty() ? Read(request) : absl::OkStatus());
    return absl::OkStatus();
  }

  void OnClientDone() override { outbox_.Finish(absl::OkStatus()); }

 private:
  // The lines of the request become batches_.
  Status Read(const v1::PushRequest& request) {
    YAGURA_RETURN_IF_ERROR(Validate(request, parsers_.get()));
    const auto sources = sources_->Get();
    if (sources == nullptr) {
      return Unavailable("SOURCES_UNKNOWN", "the sources of the directory are not loaded yet");
    }
    const std::string& principal = sender_.sender.credential;
    const std::string_view tenant = TenantOf(request.parent());
    sender_.tenant = tenant == "-" ? std::string_view{} : tenant;
    sender_.parser = request.parser() == "auto" ? std::string() : request.parser();
    sender_.origin =
        request.source().empty() ? principal : fmt::format("{} {}", principal, request.source());
    // The same for every repeat, so that the streams know it again; the lines become part of it.
    intake_.Begin(event::BatchIdOf({"push", principal, request.batch_id(), request.parent(),
                                    request.source(), request.parser()}));
    const TimePoint receive_time = clock_->Now();
    for (const std::string& line : request.lines()) {
      intake_.Add(sender_, sources, line, false, receive_time, {});
    }
    batches_ = intake_.TakeAll();
    return absl::OkStatus();
  }

  // Appends what was read and answers, or lets the sender wait where waiting may help.
  void Settle(const v1::PushRequest& request, Status status) {
    if (status.ok()) status = sink_->Append(batches_);
    pause_ = std::chrono::milliseconds(0);
    const std::string reason = status.ok() ? "" : ErrorReason(status);
    if ((reason == "FLOW_FULL" || reason == "SOURCES_UNKNOWN") && clock_->SteadyNow() < give_up_) {
      metrics_->CountPushWait();
      if (batches_.empty()) unread_ = request;
      pause_ = kRetryDelay;
      return;
    }
    if (status.code() == absl::StatusCode::kUnavailable ||
        status.code() == absl::StatusCode::kResourceExhausted) {
      status = WithRetryDelay(status, kRetryDelay);
    }
    batches_.clear();
    Answer(status);
  }

  void Answer(const Status& status) {
    v1::PushResponse response;
    response.set_batch_id(batch_id_);
    if (status.ok()) {
      response.set_event_count(static_cast<uint32_t>(line_count_));
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
  }

  const std::shared_ptr<BatchSink> sink_;
  const std::shared_ptr<CurrentSources> sources_;
  const std::shared_ptr<IngestionMetrics> metrics_;
  const std::shared_ptr<const Clock> clock_;
  const rpc::Outbox<v1::PushResponse> outbox_;
  const std::chrono::milliseconds patience_;
  const std::shared_ptr<const ParserCatalogue> parsers_;
  Intake intake_;
  SenderState sender_;
  // Of the batch that came last. While it waits nothing else is read.
  std::string batch_id_;
  int line_count_ = 0;
  SteadyTime give_up_{};
  std::chrono::milliseconds pause_{0};
  v1::PushRequest unread_;  // set while the sources are waited for
  std::vector<ReadyBatch> batches_;
};

}  // namespace

StatusOr<std::unique_ptr<rpc::StreamSession<v1::PushRequest>>> MakePushSession(
    const ListenerParts& parts, std::chrono::milliseconds patience, const rpc::Call& call,
    rpc::Outbox<v1::PushResponse> outbox) {
  return std::make_unique<PushSession>(parts, patience, call, std::move(outbox));
}

}  // namespace yagura::ingestion
