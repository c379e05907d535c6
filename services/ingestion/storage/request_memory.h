#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/redis/script.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::ingestion {

// Which requests (batches as their senders made them) the streams have in whole. The streams know
// batches again by the source that they went to; a request is known whatever the directory says
// by now about whose its lines are. Kept in the flow Redis as the streams keep their keys, about 11
// bytes a request where there are many; in the same place as by stream::Producer::AppendRequest,
// beside what is too large for that. Thread-safe.
class RequestMemory {
 public:
  // Remembers for at least `window`, and a quarter longer at most. `shards`: over how many slots
  // the memory is spread.
  RequestMemory(std::shared_ptr<redis::Pool> flow, int shards,
                std::chrono::seconds window = std::chrono::hours(24));

  // `request`: a digest that names sender, id and content. UNAVAILABLE, RESOURCE_EXHAUSTED
  // (FLOW_FULL).
  absl::StatusOr<bool> Knows(std::string_view request);
  absl::Status Remember(std::string_view request);

 private:
  absl::StatusOr<bool> Run(std::string_view request, bool remember);

  const std::shared_ptr<redis::Pool> flow_;
  const int shards_;
  const std::string period_;
  const redis::Script script_;
};

}  // namespace yagura::ingestion
