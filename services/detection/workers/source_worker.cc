#include "services/detection/workers/source_worker.h"

#include "common/status/status.h"

namespace yagura::detection {

SourceWorker::SourceWorker(std::shared_ptr<SourceWatchStore> store,
                           std::shared_ptr<FindingSink> sink, SourceWatch::Limits limits)
    : store_(std::move(store)), sink_(std::move(sink)), limits_(limits) {}

absl::Status SourceWorker::Handle(const stream::Worker::Context& context,
                                  const std::vector<stream::Entry>& entries) {
  std::vector<ingestion::v1::CoverageReport> reports;
  for (const auto& entry : entries) {
    if (!reports.emplace_back().ParseFromString(entry.payload)) {
      return MakeError(absl::StatusCode::kInvalidArgument, "BAD_COVERAGE",
                       "a report of coverage cannot be read");
    }
  }
  Shard* shard = nullptr;
  {
    const std::lock_guard lock(mutex_);
    shard = &shards_[context.shard];
  }
  // Until it is saved it is ahead of what is kept: where that fails, that is read again.
  auto watch = std::move(shard->watch);
  if (watch == nullptr || shard->epoch != context.epoch) {
    watch = std::make_unique<SourceWatch>(limits_);
    YAGURA_RETURN_IF_ERROR(store_->Load(context.shard, *watch));
  }
  std::vector<Windows::Outcome> outcomes;
  for (const auto& report : reports) {
    for (auto& outcome : watch->Apply(report)) outcomes.push_back(std::move(outcome));
  }
  YAGURA_RETURN_IF_ERROR(sink_->Put(outcomes));
  YAGURA_RETURN_IF_ERROR(store_->Save(context.shard, context.epoch, *watch));
  watch->Clean();
  shard->watch = std::move(watch);
  shard->epoch = context.epoch;
  return absl::OkStatus();
}

}  // namespace yagura::detection
