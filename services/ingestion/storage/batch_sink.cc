#include "services/ingestion/storage/batch_sink.h"

#include <algorithm>

#include "common/status/public_status.h"
#include "common/status/status.h"
#include "common/stream/producer.h"
#include "services/ingestion/ingestion_metrics.h"
#include "services/ingestion/storage/request_memory.h"

namespace yagura::ingestion {
namespace {

constexpr auto kRetryPause = std::chrono::milliseconds(100);
constexpr size_t kItemsARound = 64;

}  // namespace

BatchSink::BatchSink(std::shared_ptr<stream::Producer> producer, std::unique_ptr<Spool> spool,
                     std::shared_ptr<IngestionMetrics> metrics, Logger logger,
                     std::shared_ptr<RequestMemory> requests)
    : producer_(std::move(producer)),
      metrics_(std::move(metrics)),
      logger_(std::move(logger)),
      requests_(std::move(requests)),
      spool_(std::move(spool)) {
  // What an earlier process left goes first.
  if (!spool_->empty()) flowing_ = false;
  metrics_->SetSpoolDamagedBytes(spool_->damaged_bytes());
}

BatchSink::~BatchSink() { Stop(); }

void BatchSink::Start() {
  replayer_ = std::jthread([this](const std::stop_token& stop) { Replay(stop); });
}

void BatchSink::Stop() {
  if (!replayer_.joinable()) return;
  replayer_.request_stop();
  changed_.notify_all();
  replayer_.join();
}

bool BatchSink::WasInDoubt(std::string_view key) {
  const std::lock_guard lock(doubt_mutex_);
  return in_doubt_.Take(key, std::chrono::steady_clock::now());
}

void BatchSink::Doubt(std::string_view key) {
  const std::lock_guard lock(doubt_mutex_);
  in_doubt_.Note(key, std::chrono::steady_clock::now());
}

Status BatchSink::AppendSome(const std::vector<ReadyBatch>& batches, bool may_repeat, size_t* done,
                             size_t* fresh) {
  *done = 0;
  while (*done < batches.size()) {
    std::vector<stream::Producer::Item> items;
    const size_t count = std::min(kItemsARound, batches.size() - *done);
    for (size_t i = 0; i < count; ++i) {
      const ReadyBatch& batch = batches[*done + i];
      items.push_back(
          {stream::ShardOf(batch.partition, producer_->topic().shards), batch.key, batch.payload});
    }
    const auto results = producer_->AppendAll(items);
    for (size_t i = 0; i < results.size(); ++i) {
      if (!results[i].ok()) {
        // Those after a failure may be in too; offering them again does no harm.
        const size_t end = *done + results.size() - i;
        for (size_t at = *done; may_repeat && at < end; ++at) Doubt(batches[at].key);
        return results[i].status();
      }
      const ReadyBatch& batch = batches[(*done)++];
      const bool doubted = may_repeat && WasInDoubt(batch.key);
      if (may_repeat && !doubted && *results[i] == stream::EntryId()) continue;  // it was there
      metrics_->CountDelivered(batch);
      ++*fresh;
      if (may_repeat) metrics_->CountReceived(batch);
    }
    if (results.empty()) return Internal("the producer gave no answer");
  }
  return absl::OkStatus();
}

Status BatchSink::AppendAtOnce(const std::vector<ReadyBatch>& batches, std::string_view request,
                               size_t* fresh) {
  std::vector<stream::Producer::Item> items;
  items.reserve(batches.size());
  for (const ReadyBatch& batch : batches) {
    items.push_back(
        {stream::ShardOf(batch.partition, producer_->topic().shards), batch.key, batch.payload});
  }
  const auto appended = producer_->AppendRequest(request, items);
  if (!appended.ok()) {
    if (appended.status().code() != absl::StatusCode::kFailedPrecondition) Doubt(request);
    return appended.status();
  }
  // What is known may have been appended by the try of which nobody heard.
  const bool doubted = WasInDoubt(request);
  for (size_t i = 0; i < batches.size(); ++i) {
    const bool was_there = appended->known || appended->ids[i] == stream::EntryId();
    if (was_there && !doubted) continue;
    metrics_->CountDelivered(batches[i]);
    metrics_->CountReceived(batches[i]);
    ++*fresh;
  }
  return absl::OkStatus();
}

Status BatchSink::Append(const std::vector<ReadyBatch>& batches, size_t* fresh,
                         std::string_view request) {
  size_t unused = 0;
  if (fresh == nullptr) fresh = &unused;
  const Status status = AppendAll(batches, request, fresh);
  const std::string reason = ErrorReason(status);
  const bool failed = reason.starts_with("REDIS_") || reason == "FLOW_FULL";
  if (append_failed_.exchange(failed) != failed && failed) {
    logger_.Warning("the flow Redis takes no batches; senders are told to come again",
                    {{"error", Message(status)}});
  }
  return WithoutInsides(status, "the flow Redis");
}

Status BatchSink::AppendAll(const std::vector<ReadyBatch>& batches, std::string_view request,
                            size_t* fresh) {
  const bool may_come_again = requests_ != nullptr && !request.empty();
  if (may_come_again) {
    const Status at_once = AppendAtOnce(batches, request, fresh);
    if (at_once.code() != absl::StatusCode::kFailedPrecondition) return at_once;
    YAGURA_ASSIGN_OR_RETURN(const bool known, requests_->Knows(request));
    if (known) return absl::OkStatus();
  }
  size_t done = 0;
  YAGURA_RETURN_IF_ERROR(AppendSome(batches, /*may_repeat=*/true, &done, fresh));
  return may_come_again ? requests_->Remember(request) : absl::OkStatus();
}

void BatchSink::Deliver(std::vector<ReadyBatch>& batches) {
  if (batches.empty()) return;
  size_t done = 0;
  size_t fresh = 0;
  Status refusal;
  if (flowing()) {
    refusal = AppendSome(batches, /*may_repeat=*/false, &done, &fresh);
    if (refusal.ok()) {
      batches.clear();
      return;
    }
  }
  // One lock for both: a replay in between would find the spool empty and open the gate again.
  const std::lock_guard lock(mutex_);
  if (!refusal.ok()) NoteRefusal(refusal);
  while (done < batches.size()) {
    const ReadyBatch& batch = batches[done];
    if (!spool_->Append({batch.partition, batch.key, batch.payload}).ok()) break;
    metrics_->CountSpooled(batch);
    flowing_ = false;  // while the spool holds anything, all goes through it, in order
    ++done;
  }
  metrics_->SetSpoolBytes(spool_->bytes());
  batches.erase(batches.begin(), batches.begin() + static_cast<ptrdiff_t>(done));
  changed_.notify_all();
}

void BatchSink::Lose(const std::vector<ReadyBatch>& batches) {
  for (const ReadyBatch& batch : batches) metrics_->CountLost(batch);
}

void BatchSink::NoteRefusal(const Status& status) {
  if (flowing_) {
    logger_.Warning("the flow Redis takes no batches; spooling", {{"error", Message(status)}});
  }
  last_error_ = status;
  flowing_ = false;
}

bool BatchSink::WaitFlowing(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [this] { return flowing_.load(); });
}

Status BatchSink::health() const {
  const std::lock_guard lock(mutex_);
  return flowing_ ? absl::OkStatus() : last_error_;
}

void BatchSink::Replay(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, kRetryPause,
                        [&] { return stop.stop_requested() || !flowing_.load(); });
      if (stop.stop_requested()) return;
      if (flowing_) continue;
    }
    while (!stop.stop_requested() && ReplayOne()) {
    }
    if (flowing()) continue;
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kRetryPause, [&] { return stop.stop_requested(); });
  }
}

void BatchSink::TellDamages() {
  for (const Spool::Damage& damage : spool_->TakeDamages()) {
    metrics_->CountSpoolDamage(damage.bytes);
    const std::string kept = damage.kept_in.empty() ? "nowhere" : damage.kept_in.string();
    logger_.Error("bytes of the spool are no sound record and were left out",
                  {{"segment", damage.segment.string()},
                   {"offset", damage.offset},
                   {"bytes", damage.bytes},
                   {"kept_in", kept}});
  }
  metrics_->SetSpoolDamagedBytes(spool_->damaged_bytes());
}

bool BatchSink::ReplayOne() {
  std::optional<Spool::Record> record;
  {
    const std::lock_guard lock(mutex_);
    auto front = spool_->Front();
    TellDamages();
    if (!front.ok()) {
      last_error_ = front.status();
      return false;
    }
    record = std::move(*front);
    if (!record) {
      // Under the lock, so that nobody spools in between and is overtaken.
      if (!flowing_) logger_.Info("the spool is empty; batches go to the flow Redis again");
      last_error_ = absl::OkStatus();
      flowing_ = true;
      metrics_->SetSpoolBytes(0);
      changed_.notify_all();
      return false;
    }
  }
  const auto appended = producer_->Append(
      stream::ShardOf(record->partition, producer_->topic().shards), record->key, record->payload);
  const std::lock_guard lock(mutex_);
  if (!appended.ok()) {
    last_error_ = appended.status();
    return false;
  }
  spool_->Pop();
  metrics_->SetSpoolBytes(spool_->bytes());
  return true;
}

}  // namespace yagura::ingestion
