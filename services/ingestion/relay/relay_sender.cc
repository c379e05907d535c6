#include "services/ingestion/relay/relay_sender.h"

#include <algorithm>
#include <condition_variable>
#include <utility>

#include "fmt/format.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"

#include "common/blob/file_io.h"
#include "common/clock/proto_time.h"
#include "common/metrics/metrics.h"
#include "common/rpc/channels.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"
#include "yagura/ingestion/v1/ingestion_service.grpc.pb.h"

namespace yagura::ingestion {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kCallTimeout{20};
constexpr milliseconds kLook{100};
constexpr size_t kMaxKeyBytes = 4096;
constexpr size_t kMaxPemBytes = 1 << 20;
constexpr int kMaxMessageBytes = 16 << 20;
// A batch that is refused for what it is, so often, is given up: those behind it wait.
constexpr int kMaxRefusals = 5;

using Stream = grpc::ClientReaderWriter<v1::PushRequest, v1::PushResponse>;

std::shared_ptr<grpc::Channel> NewChannel(const RelaySender::Options& options, Status* status) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  // A connection that a firewall between has forgotten is to be noticed.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1'000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5'000);
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (!options.ca_file.empty()) {
    auto pem = blob::ReadFile(options.ca_file, kMaxPemBytes);
    if (!pem.ok()) {
      *status = Annotate(pem.status(), "CA file");
      return nullptr;
    }
    grpc::SslCredentialsOptions tls;
    tls.pem_root_certs = *std::move(pem);
    credentials = grpc::SslCredentials(tls);
  }
  return grpc::CreateCustomChannel(options.endpoint, credentials, arguments);
}

Status StatusOf(const google::rpc::Status& told) {
  return rpc::FromGrpc(grpc::Status(static_cast<grpc::StatusCode>(told.code()), told.message(),
                                    told.SerializeAsString()));
}

}  // namespace

struct RelaySender::Session {
  explicit Session(const std::shared_ptr<grpc::Channel>& channel)
      : stub(v1::IngestionService::NewStub(channel)) {}
  ~Session() {
    context.TryCancel();
    if (reader.joinable()) reader.join();
  }
  std::unique_ptr<v1::IngestionService::Stub> stub;
  grpc::ClientContext context;
  std::unique_ptr<Stream> stream;

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<RelaySpool::Entry> sent;  // and not answered
  SteadyTime heard_at{};               // an answer, or since when one is waited for
  bool ended = false;
  Status why;
  std::thread reader;
};

RelaySender::RelaySender(Options options, std::shared_ptr<RelaySpool> spool,
                         std::shared_ptr<MetricsRegistry> metrics,
                         std::shared_ptr<const Clock> clock, Logger logger)
    : options_(std::move(options)),
      spool_(std::move(spool)),
      metrics_(std::move(metrics)),
      clock_(std::move(clock)),
      logger_(std::move(logger)) {}

RelaySender::~RelaySender() { Stop(); }

void RelaySender::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void RelaySender::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

RelaySender::Stats RelaySender::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void RelaySender::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const Status status = Serve(stop);
    spool_->Rewind();
    if (stop.stop_requested()) return;
    NoteFailure(status);
    Pause(stop);
  }
}

void RelaySender::NoteFailure(const Status& status) {
  metrics_
      ->GetCounter("yagura_relay_disconnections_total", "Streams to the suite that ended or failed")
      ->Add();
  const std::lock_guard lock(mutex_);
  const std::string error = fmt::format("{}{}", Message(status), status.ok() ? "stream ended" : "");
  if (std::exchange(told_error_, error) != error) {
    logger_.Warning("the suite does not take batches; they wait on disk", {{"error", error}});
  }
  stats_.connected = false;
  stats_.last_error = error;
}

void RelaySender::Pause(const std::stop_token& stop) {
  pause_ = std::clamp(pause_ * 2, options_.least_pause, options_.longest_pause);
  std::uniform_int_distribution<int64_t> chance(pause_.count() / 2, pause_.count());
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, milliseconds(chance(random_)), [] { return false; });
}

Status RelaySender::Connect(Session& session, const std::stop_token& stop) {
  // Read anew each time: it may have been rotated.
  YAGURA_ASSIGN_OR_RETURN(const std::string key,
                          blob::ReadFile(options_.api_key_file, kMaxKeyBytes));
  const auto directory = directory::v1::DirectoryService::NewStub(channel_);
  directory::v1::ExchangeApiKeyRequest request;
  request.set_secret(std::string(Trim(key)));
  directory::v1::TokenResponse token;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
  const std::stop_callback cancel(stop, [&context] { context.TryCancel(); });
  if (const auto status = directory->ExchangeApiKey(&context, request, &token); !status.ok()) {
    return Annotate(rpc::FromGrpc(status), options_.endpoint);
  }
  session.context.AddMetadata("authorization", "Bearer " + token.token());
  session.stream = session.stub->Push(&session.context);
  session.heard_at = clock_->SteadyNow();
  {
    const std::lock_guard lock(mutex_);
    stats_.connected = true;
  }
  session.reader = std::thread([this, &session] { ReadAnswers(session); });
  return absl::OkStatus();
}

Status RelaySender::Serve(const std::stop_token& stop) {
  if (channel_ == nullptr) {
    Status status;
    channel_ = NewChannel(options_, &status);
    if (channel_ == nullptr) return status;
  }
  Session session(channel_);
  YAGURA_RETURN_IF_ERROR(Connect(session, stop));
  // A write waits as long as the suite reads nothing.
  const std::stop_callback cancel(stop, [&session] { session.context.TryCancel(); });
  while (!IsOver(session, stop)) {
    if (SendNext(session)) continue;
    std::unique_lock lock(session.mutex);
    session.changed.wait_for(lock, kLook);
  }
  session.context.TryCancel();
  session.reader.join();
  return session.why;
}

bool RelaySender::IsOver(Session& session, const std::stop_token& stop) {
  const std::lock_guard lock(session.mutex);
  const bool silent =
      !session.sent.empty() && clock_->SteadyNow() - session.heard_at > options_.ack_patience;
  if (silent && session.why.ok()) {
    session.why = Unavailable("NOT_ACKNOWLEDGED", "nothing was acknowledged for too long");
  }
  return stop.stop_requested() || silent || session.ended;
}

bool RelaySender::SendNext(Session& session) {
  {
    const std::lock_guard lock(session.mutex);
    if (session.ended || session.sent.size() >= options_.window) return false;
  }
  auto entry = spool_->Next();
  if (!entry.ok()) {
    EndSession(session, entry.status());
    return false;
  }
  if (!*entry) return false;
  bool may_be_doubled = false;
  {
    const std::lock_guard lock(session.mutex);
    may_be_doubled = MayBeDoubled(**entry);
  }
  if (may_be_doubled) {
    logger_.Warning(
        "lines go to the suite again that it may have: they may be there twice",
        {{"batch", (*entry)->batch.batch_id()}, {"lines", (*entry)->batch.lines_size()}});
    if (const Status told = spool_->TellDoubt(**entry); !told.ok()) {
      EndSession(session, told);
      return false;
    }
  }
  {
    const std::lock_guard lock(session.mutex);
    // From the first time on that it may have come there.
    const auto now = clock_->SteadyNow();
    const auto [sent, is_new] = sent_.try_emplace((*entry)->place, now);
    if (may_be_doubled) sent->second = now;
    if (sent_.size() > 4 * options_.window) sent_.erase(sent_.begin());  // the spool gave it up
    if (session.sent.empty()) session.heard_at = clock_->SteadyNow();
    session.sent.push_back(**entry);
  }
  // A write that fails shows as the end of the stream.
  return session.stream->Write((*entry)->batch);
}

void RelaySender::EndSession(Session& session, const Status& why) {
  const std::lock_guard lock(session.mutex);
  session.why = why;
  session.ended = true;
}

bool RelaySender::MayBeDoubled(const RelaySpool::Entry& entry) {
  if (const auto sent = sent_.find(entry.place); sent != sent_.end()) {
    return clock_->SteadyNow() - sent->second > options_.suite_remembers;
  }
  // What an earlier run had sent without an answer are the first ones of what it left.
  if (entry.place > spool_->end_at_open() || of_earlier_run_ >= options_.window) return false;
  ++of_earlier_run_;
  return clock_->Now() - FromProto(entry.batch.send_time()) > options_.suite_remembers;
}

void RelaySender::ReadAnswers(Session& session) {
  v1::PushResponse response;
  bool ended = false;
  while (true) {
    ended = !session.stream->Read(&response);
    if (ended) break;
    const std::lock_guard lock(session.mutex);
    session.heard_at = clock_->SteadyNow();
    if (session.sent.empty() || session.sent.front().batch.batch_id() != response.batch_id()) {
      session.why = Internal("the suite answered a batch out of order");
      break;
    }
    const RelaySpool::Entry entry = std::move(session.sent.front());
    session.sent.pop_front();
    if (!response.has_status()) sent_.erase(sent_.begin(), sent_.upper_bound(entry.place));
    session.changed.notify_all();
    if (response.has_status()) {
      session.why = StatusOf(response.status());
      if (session.why.code() != absl::StatusCode::kInvalidArgument) break;
      refusals_ = std::exchange(refused_id_, response.batch_id()) == response.batch_id()
                      ? refusals_ + 1
                      : 1;
      if (refusals_ >= kMaxRefusals) {
        logger_.Error("the suite refuses a batch for what it is; it is given up",
                      {{"batch", response.batch_id()}, {"error", Message(session.why)}});
        spool_->GiveUp(entry);
      }
      break;
    }
    spool_->Acknowledge(entry.place);
    pause_ = milliseconds(0);
    const auto lines = static_cast<uint64_t>(entry.batch.lines_size());
    metrics_->GetCounter("yagura_relay_acknowledged_lines_total", "Lines that the suite has taken")
        ->Add(static_cast<double>(lines));
    const std::lock_guard stats(mutex_);
    stats_.connected = true;
    stats_.acknowledged_at = clock_->Now();
    stats_.acknowledged_lines += lines;
    stats_.last_error.clear();
    told_error_.clear();
  }
  // A stream that ended has a status to tell; to cancel it would put another in its place.
  if (!ended) session.context.TryCancel();
  Status status = rpc::FromGrpc(session.stream->Finish());
  if (status.code() == absl::StatusCode::kPermissionDenied) {
    status = Annotate(status, "the key may not push for the tenant of this relay");
  }
  const std::lock_guard lock(session.mutex);
  if (session.why.ok()) session.why = status;
  session.ended = true;
  session.changed.notify_all();
}

}  // namespace yagura::ingestion
