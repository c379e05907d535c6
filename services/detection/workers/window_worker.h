#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/stream/worker.h"
#include "services/detection/domain/packed.h"
#include "services/detection/domain/windows.h"
#include "services/detection/storage/finding_sink.h"
#include "services/detection/storage/window_store.h"

namespace yagura::detection {

// The second step: holds the windows of a shard of "hits" and makes findings. Handle is the handler
// of a stream::Worker. The findings are put first, then windows and checkpoint are written as one;
// killed in between, the same hits give the same findings again. Thread-safe for different shards.
class WindowWorker {
 public:
  static constexpr size_t kStepBytes = 64 << 20;
  // `step_bytes`: so much of hits, as they are unpacked, is counted at a time; an entry that has
  // more is a step of its own.
  WindowWorker(std::shared_ptr<WindowStore> store, std::shared_ptr<FindingSink> sink,
               Windows::Limits limits, MetricsRegistry& metrics, size_t step_bytes = kStepBytes,
               Logger logger = Logger::Null());

  absl::Status Handle(const stream::Worker::Context& context,
                      const std::vector<stream::Entry>& entries);

  // The Splitter of a stream::Worker: counts all hits but those of which nothing can be made, as if
  // the entry had never had these.
  absl::StatusOr<std::vector<stream::DeadPiece>> Split(const stream::Worker::Context& context,
                                                       const stream::Entry& entry);

 private:
  struct Shard {
    uint64_t epoch = 0;
    std::unique_ptr<Windows> windows;  // null: to be loaded
    size_t bytes = 0;                  // of these windows, when they were saved last
    uint64_t given_up = 0;             // as counted so far
    std::set<std::string> broken;      // what was told to be, by field
    Unpacker unpacker;
  };
  Shard& ShardAt(int number);
  void Measure(Shard& shard);
  absl::Status Load(const stream::Worker::Context& context, Shard& shard);
  void TellBroken(int number, Shard& shard, const std::vector<WindowStore::Broken>& broken);
  absl::Status Apply(const stream::Worker::Context& context, Shard& shard,
                     std::span<internal::v1::HitBatch* const> batches);

  const std::shared_ptr<WindowStore> store_;
  const std::shared_ptr<FindingSink> sink_;
  const Windows::Limits limits_;
  const size_t step_bytes_;
  Counter* const findings_;
  Counter* const grown_;
  Counter* const given_up_;
  Gauge* const bytes_;
  Counter* const late_;
  Counter* const broken_;
  const Logger logger_;
  std::mutex mutex_;
  std::map<int, Shard> shards_;
};

}  // namespace yagura::detection
