#include "services/ingestion/api/push_session.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "grpcpp/support/status.h"

#include "common/clock/proto_time.h"
#include "common/event/batch_format.h"
#include "common/rpc/channels.h"
#include "common/status/status.h"
#include "common/text/characters.h"
#include "services/ingestion/domain/framing.h"
#include "services/ingestion/domain/intake.h"
#include "services/ingestion/domain/parsers/registry.h"
#include "services/ingestion/domain/relay_limits.h"
#include "services/ingestion/ingestion_metrics.h"
#include "services/ingestion/storage/batch_sink.h"
#include "services/ingestion/workers/current_sources.h"

namespace yagura::ingestion {
namespace {

constexpr int kMaxLines = 8192;
constexpr size_t kMaxBytes = 4 << 20;
constexpr size_t kMaxBatchId = 128;
constexpr size_t kMaxSource = 128;
constexpr char kRelay[] = "relay";
constexpr auto kRetryDelay = std::chrono::milliseconds(250);
constexpr size_t kMaxRelaySenders = 4096;  // remembered a stream
// How far a relay's clock, and its buffer, may take a line from our own time.
constexpr auto kOldestRelayed = std::chrono::hours(8 * 24);
constexpr auto kNewestRelayed = std::chrono::minutes(10);

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

void ValidateRelay(const v1::PushRequest& request, FieldErrors& errors) {
  const v1::RelayedBatch& relay = request.relay();
  if (TenantOf(request.parent()) == "-") errors.Add("parent", "a relay's lines are one tenant's");
  if (relay.site().empty() || relay.site().size() > kMaxSource) {
    errors.Add("relay.site", "must be the id of a site");
  }
  if (relay.senders_size() > kMaxLines) errors.Add("relay.senders", "more than 8,192");
  for (const auto& sender : relay.senders()) {
    const size_t bytes = sender.address().size();
    if (bytes != 0 && bytes != 4 && bytes != 16) {
      errors.Add("relay.senders.address", "must be 4 or 16 bytes, or empty");
      break;
    }
    // What is known of a sender is remembered: it must be small.
    const bool small =
        sender.listener().size() <= kMaxRelayedListener &&
        sender.certificates_size() <= kMaxRelayedCertificates &&
        std::all_of(sender.certificates().begin(), sender.certificates().end(),
                    [](const auto& one) { return one.size() <= kMaxRelayedCertificateBytes; });
    if (!small) {
      errors.Add(
          "relay.senders",
          fmt::format("a listener of at most {} bytes, at most {} certificates of {} bytes",
                      kMaxRelayedListener, kMaxRelayedCertificates, kMaxRelayedCertificateBytes));
      break;
    }
  }
  const auto is_sender = [&](uint32_t place) {
    return place < static_cast<uint32_t>(relay.senders_size());
  };
  if (relay.line_senders_size() != request.lines_size() ||
      !std::all_of(relay.line_senders().begin(), relay.line_senders().end(), is_sender)) {
    errors.Add("relay.line_senders", "must be a place in senders for each line");
  }
  if (relay.line_receive_times_size() != request.lines_size()) {
    errors.Add("relay.line_receive_times", "must be a time for each line");
  }
  if (relay.losses_size() > kMaxLines ||
      !std::all_of(relay.losses().begin(), relay.losses().end(),
                   [&](const auto& loss) { return is_sender(loss.sender()); })) {
    errors.Add("relay.losses", "must be at most 8,192, each with a place in senders");
  }
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
  if (CountCharacters(request.source()) > kMaxSource) {
    errors.Add("source", "is longer than 128 characters");
  }
  if (!ParserRegistry::IsKnownSetting(request.parser(), parsers)) {
    errors.Add("parser", "there is no such parser");
  }
  if (request.has_relay()) ValidateRelay(request, errors);
  return errors.ToStatus();
}

// What the batch is known by whosever its lines are: sender, id and content.
std::string RequestOf(const std::string& instance, const v1::PushRequest& request) {
  uint64_t digest = event::HashBytes(request.relay().site(), 0);
  for (const std::string& line : request.lines()) digest = event::HashBytes(line, digest);
  return event::BatchIdOf({instance, std::to_string(digest)});
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
    const std::string instance =
        event::BatchIdOf({"push", principal, request.batch_id(), request.parent(), request.source(),
                          request.parser()});
    intake_.Begin(instance);
    request_ = RequestOf(instance, request);
    fresh_ = 0;
    losses_.clear();
    drops_.clear();
    if (request.has_relay()) return ReadRelayed(request, sources);
    const TimePoint receive_time = clock_->Now();
    for (const std::string& line : request.lines()) {
      intake_.Add(sender_, sources, line, false, receive_time, {});
    }
    batches_ = intake_.TakeAll();
    return absl::OkStatus();
  }

  // Lines that a relay took, each as its sender's.
  Status ReadRelayed(const v1::PushRequest& request,
                     const std::shared_ptr<const SourceMap>& sources) {
    const v1::RelayedBatch& relay = request.relay();
    const std::string site = fmt::format("{}/sites/{}", request.parent(), relay.site());
    if (!sources->KnowsRelays()) {
      return Unavailable("SOURCES_UNKNOWN", "which keys are those of relays is not known yet");
    }
    if (!sources->MayRelay(sender_.sender.credential, site)) {
      return MakeError(absl::StatusCode::kPermissionDenied, "RELAY_SITE_DENIED",
                       fmt::format("{} does not name {} as a site of its relay",
                                   sender_.sender.credential, site));
    }
    if (!sources->HasSite(site)) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "SITE_UNKNOWN",
                       fmt::format("the directory has no site {}", site));
    }
    const TimePoint now = clock_->Now();
    const auto bounded = [&](const google::protobuf::Timestamp& time) {
      return std::clamp(FromProto(time), TimePoint(now - kOldestRelayed),
                        TimePoint(now + kNewestRelayed));
    };
    std::vector<SenderState*> senders;
    // At once, so that what is remembered does not change under them.
    if (relayed_.size() + static_cast<size_t>(relay.senders_size()) > kMaxRelaySenders) {
      relayed_.clear();
    }
    for (const auto& sender : relay.senders()) senders.push_back(&StateOf(relay.site(), sender));
    auto cut = relay.cut_lines().begin();
    for (int i = 0; i < request.lines_size(); ++i) {
      const bool is_cut = cut != relay.cut_lines().end() && *cut == static_cast<uint32_t>(i);
      if (is_cut) ++cut;
      SenderState& state = *senders[relay.line_senders(i)];
      intake_.Add(state, sources, request.lines(i), is_cut, bounded(relay.line_receive_times(i)),
                  {});
    }
    batches_ = intake_.TakeAll();
    for (const v1::RelayLoss& loss : relay.losses()) {
      SenderState& state = *senders[loss.sender()];
      const SourceTarget* target = sources->ForSender(state.sender).BeforeReading(sender_.tenant);
      auto& losses = loss.kernel_dropped() ? drops_ : losses_;
      ReadyBatch& lost = losses.emplace_back();
      lost.tenant = sender_.tenant;
      lost.source = target == nullptr ? std::string() : target->name;
      lost.partition = PartitionOf(target, lost.tenant, relay.site());
      lost.listener = kRelay;
      lost.events = loss.line_count();
      lost.stats.first = bounded(loss.receive_time());
    }
    return absl::OkStatus();
  }

  SenderState& StateOf(const std::string& site, const v1::RelayedSender& sender) {
    // Tenants may use the same sites and addresses.
    std::string key =
        fmt::format("{}\n{}\n{}\n", sender_.tenant, site, sender.listener()) + sender.address();
    for (const std::string& certificate : sender.certificates()) key += "\n" + certificate;
    auto& state = relayed_[std::move(key)];
    if (state == nullptr) {
      Sender who{kRelay,
                 event::IpAddress::FromBytes(sender.address()),
                 sender_.sender.credential,
                 {},
                 site};
      who.certificates.assign(sender.certificates().begin(), sender.certificates().end());
      state = std::make_unique<SenderState>(std::move(who));
    }
    state->tenant = sender_.tenant;
    state->parser = sender_.parser;
    state->may_write = sender_.may_write;
    return *state;
  }

  // Appends what was read and answers, or lets the sender wait where waiting may help.
  void Settle(const v1::PushRequest& request, Status status) {
    if (status.ok()) status = sink_->Append(batches_, &fresh_, request_);
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
    // Of a batch that the streams had, it was counted then.
    if (status.ok() && fresh_ > 0) {
      for (const ReadyBatch& lost : losses_) metrics_->CountLost(lost);
      for (const ReadyBatch& drop : drops_) metrics_->CountRelayedDrops(drop);
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
  std::string request_;             // what they are known by together
  size_t fresh_ = 0;                // of these, the streams did not have them before
  std::vector<ReadyBatch> losses_;  // that a relay told of with them
  std::vector<ReadyBatch> drops_;   // that the kernel of its host took
  StringMap<std::unique_ptr<SenderState>> relayed_;  // who sent lines to a relay
};

}  // namespace

StatusOr<std::unique_ptr<rpc::StreamSession<v1::PushRequest>>> MakePushSession(
    const ListenerParts& parts, std::chrono::milliseconds patience, const rpc::Call& call,
    rpc::Outbox<v1::PushResponse> outbox) {
  return std::make_unique<PushSession>(parts, patience, call, std::move(outbox));
}

}  // namespace yagura::ingestion
