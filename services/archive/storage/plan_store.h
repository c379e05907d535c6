#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

#include "common/redis/script.h"
#include "common/stream/topic.h"
#include "yagura/archive/internal/v1/archive_state.pb.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::archive {

// The range of a shard that is being inserted, in the flow Redis beside the shard's lease, so that
// writing it is fenced by the lease's epoch: who has lost the shard can plan nothing any more, and
// what it had planned, the next holder repeats with the same token. Thread-safe.
class PlanStore {
 public:
  PlanStore(std::shared_ptr<redis::Pool> flow, stream::Topic topic, std::string reader);

  struct Lease {
    std::string holder;
    uint64_t epoch;
  };
  // ABORTED (LEASE_LOST) where the lease is another's.
  absl::Status Save(int shard, const Lease& lease, const internal::v1::PlannedRange& plan) const;
  absl::StatusOr<std::optional<internal::v1::PlannedRange>> Load(int shard) const;

 private:
  std::string PlanKey(int shard) const;

  const std::shared_ptr<redis::Pool> flow_;
  const stream::Topic topic_;
  const std::string reader_;
  const redis::Script save_;
};

}  // namespace yagura::archive
