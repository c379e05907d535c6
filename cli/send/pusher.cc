#include "cli/send/pusher.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "google/rpc/error_details.pb.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"

namespace yagura::cli {
namespace {

using ingestion::v1::IngestionService;
using ingestion::v1::PushRequest;
using ingestion::v1::PushResponse;
using Steady = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPause{200};
constexpr std::chrono::milliseconds kGoodbye{5'000};
constexpr std::chrono::milliseconds kShortestDelay{10};
constexpr std::chrono::milliseconds kLongestDelay{30'000};

bool MayRetry(absl::StatusCode code) {
  return code == absl::StatusCode::kUnavailable || code == absl::StatusCode::kResourceExhausted ||
         code == absl::StatusCode::kDeadlineExceeded || code == absl::StatusCode::kAborted ||
         code == absl::StatusCode::kCancelled || code == absl::StatusCode::kUnauthenticated;
}

// How long the service asks to wait.
Steady::duration DelayOf(const google::rpc::Status& status) {
  for (const auto& detail : status.details()) {
    google::rpc::RetryInfo info;
    if (!detail.Is<google::rpc::RetryInfo>() || !detail.UnpackTo(&info)) continue;
    const auto delay =
        std::chrono::duration_cast<std::chrono::milliseconds>(FromProto(info.retry_delay()));
    return std::clamp(delay, kShortestDelay, kLongestDelay);
  }
  return kPause;
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
  {
    const std::lock_guard lock(mutex_);
    if (pending_.empty()) last_ack_ = Steady::now();
    const bool postponed = std::ranges::any_of(pending_, std::not_fn(&Entry::sent));
    const bool overtakes_nobody = !postponed || MaySend();
    pending_.push_back({std::move(batch)});
    if (broken_ || !overtakes_nobody) return absl::OkStatus();
  }
  SendPending();
  return absl::OkStatus();
}

absl::Status Pusher::Finish() {
  YAGURA_RETURN_IF_ERROR(WaitUntilPending(0));
  if (connection_ != nullptr) {
    connection_->stream->WritesDone();
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kGoodbye, [this] { return broken_; });
  }
  Disconnect();
  return absl::OkStatus();
}

absl::Status Pusher::WaitUntilPending(size_t at_most) {
  for (;;) {
    bool broken = false;
    bool send = false;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, kPause, [&] {
        return pending_.size() <= at_most || broken_ || MaySend() || !refused_.ok();
      });
      if (!refused_.ok()) return refused_;
      // An unbroken stream is wanted even before the first batch.
      if (pending_.size() <= at_most && !broken_) return absl::OkStatus();
      if (pending_.empty() && at_most == 0) return absl::OkStatus();
      broken = broken_;
      send = MaySend();
      if (Steady::now() - last_ack_ > options_.patience) {
        return MakeError(absl::StatusCode::kUnavailable, "NOT_ACKNOWLEDGED",
                         fmt::format("nothing was acknowledged for {} s; {} batches are not",
                                     options_.patience.count(), pending_.size()));
      }
    }
    if (broken) {
      const absl::Status status = Reconnect();
      if (!status.ok() && !MayRetry(status.code())) return status;
      if (!status.ok()) std::this_thread::sleep_for(kPause);
    } else if (send) {
      SendPending();
    }
  }
}

bool Pusher::MaySend() const {
  return !pending_.empty() && Steady::now() >= not_before_ &&
         std::ranges::none_of(pending_, &Entry::sent);
}

void Pusher::SendPending() {
  std::vector<PushRequest> batches;
  {
    const std::lock_guard lock(mutex_);
    for (Entry& entry : pending_) {
      if (!std::exchange(entry.sent, true)) batches.push_back(entry.batch);
    }
  }
  for (const PushRequest& batch : batches) {
    if (!connection_->stream->Write(batch)) return;
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
  {
    const std::lock_guard lock(mutex_);
    for (Entry& entry : pending_) entry.sent = false;
    not_before_ = {};
    broken_ = false;
  }
  connection_->reader = std::thread([this] { ReadAnswers(*connection_->stream); });
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

void Pusher::Note(const PushResponse& response) {
  const std::lock_guard lock(mutex_);
  const auto at = std::ranges::find(pending_, response.batch_id(),
                                    [](const Entry& entry) { return entry.batch.batch_id(); });
  if (at == pending_.end()) return;
  const auto code = static_cast<absl::StatusCode>(response.status().code());
  if (code == absl::StatusCode::kOk) {
    on_ack_(static_cast<uint64_t>(at->batch.lines_size()), BytesOf(at->batch));
    pending_.erase(at);
    last_ack_ = Steady::now();
  } else if (MayRetry(code)) {
    at->sent = false;
    not_before_ = std::max(not_before_, Steady::now() + DelayOf(response.status()));
    ++postponed_;
  } else {
    refused_ = MakeError(code, "BATCH_REFUSED", response.status().message());
  }
  changed_.notify_all();
}

void Pusher::ReadAnswers(Stream& stream) {
  PushResponse response;
  while (stream.Read(&response)) Note(response);
  const auto status = rpc::FromGrpc(stream.Finish());
  const std::lock_guard lock(mutex_);
  broken_ = true;
  if (!status.ok() && !MayRetry(status.code())) refused_ = status;
  changed_.notify_all();
}

}  // namespace yagura::cli
