#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>

#include "absl/status/status.h"

#include "common/metrics/metrics.h"
#include "common/stream/producer.h"
#include "common/stream/worker.h"
#include "services/detection/domain/engine/batch_matcher.h"
#include "services/detection/workers/rule_book.h"

namespace yagura::detection {

// The first step: looks at each event of a shard of "events" alone and sends what rules matched to
// "hits", in the order of the events. Handle is the handler of a stream::Worker. Thread-safe for
// different shards.
class MatchWorker {
 public:
  // `fold`: how long matches of a single-event rule fold into one finding.
  MatchWorker(std::shared_ptr<RuleBook> rules, std::shared_ptr<stream::Producer> hits,
              std::chrono::nanoseconds fold, MetricsRegistry& metrics);

  absl::Status Handle(const stream::Worker::Context& context,
                      const std::vector<stream::Entry>& entries);

 private:
  BatchMatcher& MatcherOf(int shard);
  absl::Status HandleEntry(BatchMatcher& matcher, const stream::Worker::Context& context,
                           const stream::Entry& entry);

  const std::shared_ptr<RuleBook> rules_;
  const std::shared_ptr<stream::Producer> hits_;
  const std::chrono::nanoseconds fold_;
  Counter* const events_seen_;
  Counter* const events_matched_;
  std::mutex mutex_;
  std::map<int, std::unique_ptr<BatchMatcher>> matchers_;  // by shard
};

}  // namespace yagura::detection
