#include "cli/send/pusher.h"

#include <algorithm>
#include <numeric>

#include "fmt/format.h"

#include "common/status/status.h"

namespace yagura::cli {
namespace {

using ingestion::v1::IngestionService;
using ingestion::v1::PushRequest;
using ingestion::v1::PushResponse;
using Steady = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPause{200};

bool MayRetry(absl::StatusCode code) {
  return code == absl::StatusCode::kUnavailable || code == absl::StatusCode::kResourceExhausted ||
         code == absl::StatusCode::kDeadlineExceeded || code == absl::StatusCode::kAborted ||
         code == absl::StatusCode::kCancelled || code == absl::StatusCode::kUnauthenticated;
}

uint64_t BytesOf(const PushRequest& batch) {
  return std::accumulate(batch.lines().begin(), batch.lines().end(), uint64_t{0},
                         [](uint64_t sum, const auto& line) { return sum + line.size() + 1; });
}

}  // namespace

struct Pusher::Connection {
  explicit Connection(const std::shared_ptr<grpc::Channel>& channel) : stub(channel) {}
  IngestionService::Stub stub;
  grpc::ClientContext context;
  std::unique_ptr<Stream> stream;
  std::thread reader;
};

Pusher::Pusher(Client& client, Options options, std::function<void(uint64_t, uint64_t)> on_ack)
    : client_(client), options_(options), on_ack_(std::move(on_ack)), last_ack_(Steady::now()) {}

Pusher::~Pusher() { Disconnect(); }

absl::Status Pusher::Send(PushRequest batch) {
  YAGURA_RETURN_IF_ERROR(WaitUntilPending(options_.window - 1));
  bool usable = false;
  {
    const std::lock_guard lock(mutex_);
    if (pending_.empty()) last_ack_ = Steady::now();
    pending_.push_back(batch);
    usable = !broken_ && !retry_;
  }
  // A write that fails shows as the end of the stream, which the reader notices.
  if (usable) connection_->stream->Write(batch);
  return absl::OkStatus();
}

absl::Status Pusher::Finish() {
  YAGURA_RETURN_IF_ERROR(WaitUntilPending(0));
  if (connection_ != nullptr) connection_->stream->WritesDone();
  Disconnect();
  return absl::OkStatus();
}

absl::Status Pusher::WaitUntilPending(size_t at_most) {
  for (;;) {
    bool reconnect = false;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, kPause, [&] {
        return pending_.size() <= at_most || broken_ || retry_ || !refused_.ok();
      });
      if (!refused_.ok()) return refused_;
      // An unbroken stream is wanted even before the first batch.
      if (pending_.size() <= at_most && !broken_) return absl::OkStatus();
      if (pending_.empty() && at_most == 0) return absl::OkStatus();
      reconnect = broken_ || retry_;
      if (Steady::now() - last_ack_ > options_.patience) {
        return MakeError(absl::StatusCode::kUnavailable, "NOT_ACKNOWLEDGED",
                         fmt::format("nothing was acknowledged for {} s; {} batches are not",
                                     options_.patience.count(), pending_.size()));
      }
    }
    if (reconnect) {
      const absl::Status status = Reconnect();
      if (!status.ok() && !MayRetry(status.code())) return status;
      if (!status.ok()) std::this_thread::sleep_for(kPause);
    }
  }
}

absl::Status Pusher::Reconnect() {
  if (connection_ != nullptr) {
    Disconnect();
    ++reconnects_;
    std::this_thread::sleep_for(kPause);
  }
  YAGURA_RETURN_IF_ERROR(client_.RefreshToken());
  connection_ = std::make_unique<Connection>(client_.channel());
  client_.Prepare(connection_->context, true);
  connection_->stream = connection_->stub.Push(&connection_->context);
  std::deque<PushRequest> again;
  {
    const std::lock_guard lock(mutex_);
    again = pending_;
    broken_ = false;
    retry_ = false;
  }
  connection_->reader = std::thread([this] { ReadAnswers(*connection_->stream); });
  for (const auto& batch : again) {
    if (!connection_->stream->Write(batch)) break;
  }
  return absl::OkStatus();
}

void Pusher::Disconnect() {
  if (connection_ == nullptr) return;
  connection_->context.TryCancel();
  if (connection_->reader.joinable()) connection_->reader.join();
  connection_.reset();
  const std::lock_guard lock(mutex_);
  broken_ = true;
}

void Pusher::ReadAnswers(Stream& stream) {
  PushResponse response;
  while (stream.Read(&response)) {
    const std::lock_guard lock(mutex_);
    const auto at = std::ranges::find(pending_, response.batch_id(), &PushRequest::batch_id);
    if (at == pending_.end()) continue;
    const auto code = static_cast<absl::StatusCode>(response.status().code());
    if (code == absl::StatusCode::kOk) {
      on_ack_(static_cast<uint64_t>(at->lines_size()), BytesOf(*at));
      pending_.erase(at);
      last_ack_ = Steady::now();
    } else if (MayRetry(code)) {
      retry_ = true;
    } else {
      refused_ = MakeError(code, "BATCH_REFUSED", response.status().message());
    }
    changed_.notify_all();
  }
  const auto status = rpc::FromGrpc(stream.Finish());
  const std::lock_guard lock(mutex_);
  broken_ = true;
  if (!status.ok() && !MayRetry(status.code())) refused_ = status;
  changed_.notify_all();
}

}  // namespace yagura::cli
