#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "common/metrics/metrics.h"
#include "common/stream/producer.h"
#include "common/stream/worker.h"
#include "services/detection/domain/engine/batch_matcher.h"
#include "services/detection/domain/hits.h"
#include "services/detection/storage/watermark_store.h"
#include "services/detection/workers/rule_book.h"

namespace yagura::detection {

// The first step: looks at each event of a shard of "events" alone and sends what rules matched to
// "hits", in the order of the events. Which rules these are depends on the place in the shard
// alone: the set that the latest control entry before it announces, or, before the first, that
// first one. Every ten seconds of receive time all shards of "hits" hear how far time has come, so
// that windows close although nothing matches any more. Handle is the handler of a stream::Worker.
// Thread-safe for different shards.
class MatchWorker {
 public:
  // The part of the work that has no effect: FindHits.
  using MatchStep = std::function<decltype(FindHits)>;

  // `fold`: how long matches of a single-event rule fold into one finding.
  MatchWorker(std::shared_ptr<RuleBook> rules, std::shared_ptr<WatermarkStore> watermarks,
              std::shared_ptr<stream::Producer> hits, std::chrono::nanoseconds fold,
              MetricsRegistry& metrics, MatchStep match = FindHits);

  // UNAVAILABLE (NO_RULE_SET) while none has been announced in the shard.
  absl::Status Handle(const stream::Worker::Context& context,
                      const std::vector<stream::Entry>& entries);

  // The Splitter of a stream::Worker: matches all events of the batch but those that cannot be, as
  // if it had never had these.
  absl::StatusOr<std::vector<stream::DeadPiece>> Split(const stream::Worker::Context& context,
                                                       const stream::Entry& entry);

 private:
  struct Shard {
    uint64_t epoch = 0;
    Watermark watermark;
    std::vector<RuleSetSwitch> switches;  // in order
    std::string version;                  // of the matcher's rules
    std::unique_ptr<BatchMatcher> matcher;
  };
  absl::Status Prepare(const stream::Worker::Context& context, stream::EntryId first, Shard& shard);
  void Switch(Shard& shard, stream::EntryId at, std::string_view version);
  absl::Status UseRulesOf(Shard& shard, stream::EntryId at);
  Shard& ShardAt(int number);
  HitSource SourceOf(const Shard& shard, const stream::Worker::Context& context,
                     const stream::Entry& entry, std::span<const uint32_t> rows) const;
  absl::StatusOr<Found> Match(Shard& shard, event::BatchReader& batch, const HitSource& source);
  absl::Status HandleBatch(Shard& shard, const stream::Entry& entry, event::BatchReader& batch,
                           const HitSource& source);
  absl::StatusOr<bool> TellsTime(Shard& shard, int number, const stream::Entry& entry,
                                 TimePoint received);
  absl::Status Send(std::vector<std::pair<int, internal::v1::HitBatch>> hits,
                    const HitSource& source);

  const std::shared_ptr<RuleBook> rules_;
  const std::shared_ptr<WatermarkStore> watermarks_;
  const std::shared_ptr<stream::Producer> hits_;
  const std::chrono::nanoseconds fold_;
  const MatchStep match_;
  Counter* const events_seen_;
  Counter* const events_matched_;
  std::mutex mutex_;
  std::map<int, Shard> shards_;
};

}  // namespace yagura::detection
