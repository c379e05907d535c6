#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"

#include "common/stream/worker.h"
#include "services/detection/domain/source_watch.h"
#include "services/detection/storage/finding_sink.h"
#include "services/detection/storage/source_watch_store.h"

namespace yagura::detection {

// Watches the log sources by what ingestion tells of them: the handler of a worker on the topic
// "coverage". Findings are put before what is remembered is saved: after a kill in between the same
// reports give the same findings.
class SourceWorker {
 public:
  SourceWorker(std::shared_ptr<SourceWatchStore> store, std::shared_ptr<FindingSink> sink,
               SourceWatch::Limits limits);
  absl::Status Handle(const stream::Worker::Context& context,
                      const std::vector<stream::Entry>& entries);

 private:
  struct Shard {
    std::unique_ptr<SourceWatch> watch;  // null: what is kept is to be read
    uint64_t epoch = 0;
  };

  const std::shared_ptr<SourceWatchStore> store_;
  const std::shared_ptr<FindingSink> sink_;
  const SourceWatch::Limits limits_;
  std::mutex mutex_;  // of the map; a shard is handled by one thread at a time
  std::map<int, Shard> shards_;
};

}  // namespace yagura::detection
