#include "services/detection/workers/window_worker.h"

#include "common/status/status.h"

namespace yagura::detection {

WindowWorker::WindowWorker(std::shared_ptr<WindowStore> store, std::shared_ptr<FindingSink> sink,
                           Windows::Limits limits, MetricsRegistry& metrics)
    : store_(std::move(store)),
      sink_(std::move(sink)),
      limits_(limits),
      findings_(metrics.GetCounter("yagura_detection_findings_total", "Findings made")),
      grown_(metrics.GetCounter("yagura_detection_findings_grown_total",
                                "Batches of events that joined an open finding")) {}

absl::Status WindowWorker::Handle(const stream::Worker::Context& context,
                                  const std::vector<stream::Entry>& entries) {
  Shard* shard = nullptr;
  {
    const std::lock_guard lock(mutex_);
    shard = &shards_[context.shard];
  }
  Status status = HandleShard(context, *shard, entries);
  // What memory holds is ahead of what is kept: read again.
  if (!status.ok()) shard->windows.reset();
  return status;
}

absl::Status WindowWorker::HandleShard(const stream::Worker::Context& context, Shard& shard,
                                       const std::vector<stream::Entry>& entries) {
  if (shard.windows == nullptr || shard.epoch != context.epoch) {
    shard.windows = std::make_unique<Windows>(limits_);
    shard.epoch = context.epoch;
    YAGURA_RETURN_IF_ERROR(store_->Load(context.shard, *shard.windows));
  }
  std::vector<Windows::Outcome> outcomes;
  for (const auto& entry : entries) {
    internal::v1::HitBatch batch;
    if (!batch.ParseFromString(entry.payload)) {
      return MakeError(absl::StatusCode::kInvalidArgument, "BAD_HITS", "hits cannot be read");
    }
    for (auto& outcome : shard.windows->Apply(batch)) outcomes.push_back(std::move(outcome));
  }
  YAGURA_RETURN_IF_ERROR(sink_->Put(outcomes));
  YAGURA_RETURN_IF_ERROR(store_->Save(context.shard, context.epoch, *shard.windows));
  shard.windows->Clean();
  for (const auto& outcome : outcomes) {
    if (!outcome.closing) (outcome.began ? findings_ : grown_)->Add();
  }
  return absl::OkStatus();
}

}  // namespace yagura::detection
