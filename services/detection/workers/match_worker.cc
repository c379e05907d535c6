#include "services/detection/workers/match_worker.h"

#include "fmt/format.h"

#include "common/status/status.h"
#include "services/detection/domain/hits.h"

namespace yagura::detection {

MatchWorker::MatchWorker(std::shared_ptr<RuleBook> rules, std::shared_ptr<stream::Producer> hits,
                         std::chrono::nanoseconds fold, MetricsRegistry& metrics)
    : rules_(std::move(rules)),
      hits_(std::move(hits)),
      fold_(fold),
      events_seen_(metrics.GetCounter("yagura_detection_events_total", "Events looked at")),
      events_matched_(
          metrics.GetCounter("yagura_detection_matches_total", "Matches of events with rules")) {}

BatchMatcher& MatchWorker::MatcherOf(int shard) {
  auto current = rules_->Current();
  const std::lock_guard lock(mutex_);
  auto& matcher = matchers_[shard];
  if (matcher == nullptr || matcher->shared_rules() != current) {
    matcher = std::make_unique<BatchMatcher>(std::move(current));
  }
  return *matcher;
}

absl::Status MatchWorker::Handle(const stream::Worker::Context& context,
                                 const std::vector<stream::Entry>& entries) {
  BatchMatcher& matcher = MatcherOf(context.shard);
  for (const auto& entry : entries) {
    YAGURA_RETURN_IF_ERROR(HandleEntry(matcher, context, entry));
  }
  return absl::OkStatus();
}

absl::Status MatchWorker::HandleEntry(BatchMatcher& matcher, const stream::Worker::Context& context,
                                      const stream::Entry& entry) {
  YAGURA_ASSIGN_OR_RETURN(auto batch, event::BatchReader::Open(entry.payload));
  YAGURA_ASSIGN_OR_RETURN(const auto matches, matcher.Run(batch));
  events_seen_->Add(static_cast<double>(batch.size()));
  events_matched_->Add(static_cast<double>(matches.size()));
  if (matches.empty()) return absl::OkStatus();
  const HitSource source{context.shard, entry.id.ToString(), context.epoch};
  const auto shard_of = [this](std::string_view partition) {
    return stream::ShardOf(partition, hits_->topic().shards);
  };
  YAGURA_ASSIGN_OR_RETURN(const auto hits,
                          MakeHits(matcher, batch, matches, source, shard_of, fold_));
  // One entry after the other: a later source id in a shard before an earlier one would make the
  // windows ignore the earlier for good.
  for (const auto& [shard, hit_batch] : hits) {
    const std::string key = fmt::format("{}-{}", context.shard, source.id);
    YAGURA_RETURN_IF_ERROR(hits_->Append(shard, key, hit_batch.SerializeAsString()).status());
  }
  return absl::OkStatus();
}

}  // namespace yagura::detection
