#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"

#include "common/redis/script.h"
#include "common/stream/topic.h"
#include "services/detection/domain/source_watch.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::detection {

// What SourceWatch remembers, in the flow Redis, one hash a shard of "coverage" beside its stream.
// What changed is one write, refused where the epoch is not that of the shard's lease any more.
// Thread-safe.
class SourceWatchStore {
 public:
  SourceWatchStore(std::shared_ptr<redis::Pool> flow, stream::Topic coverage, std::string reader);

  absl::Status Load(int shard, SourceWatch& watch) const;
  // ABORTED (LEASE_LOST) where somebody else holds the shard. Does not Clean `watch`.
  absl::Status Save(int shard, uint64_t epoch, const SourceWatch& watch) const;

 private:
  const std::shared_ptr<redis::Pool> flow_;
  const stream::Topic coverage_;
  const std::string reader_;
  const redis::Script save_;
};

}  // namespace yagura::detection
