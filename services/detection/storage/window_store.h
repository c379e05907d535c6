#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/redis/script.h"
#include "common/stream/topic.h"
#include "services/detection/domain/windows.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::detection {

// The windows of every shard of "hits" in the flow Redis, one hash a shard beside its stream. What
// changed and the checkpoints are one write, refused where the epoch is not that of the shard's
// lease any more. Thread-safe.
class WindowStore {
 public:
  WindowStore(std::shared_ptr<redis::Pool> flow, stream::Topic hits, std::string reader);

  // What of the windows could not be read, and why.
  struct Broken {
    std::string field;
    absl::Status error;
  };
  // A group, rules or evidence that are broken are left out, and go with the next Save; all else
  // counts. UNAVAILABLE (NEWER_FORMAT) where a later release wrote here.
  absl::StatusOr<std::vector<Broken>> Load(int shard, Windows& windows) const;
  // ABORTED (LEASE_LOST) where somebody else holds the shard. Does not Clean `windows`.
  absl::Status Save(int shard, uint64_t epoch, const Windows& windows) const;

 private:
  std::shared_ptr<redis::Pool> flow_;
  const stream::Topic hits_;
  const std::string reader_;
  const redis::Script save_;
};

}  // namespace yagura::detection
