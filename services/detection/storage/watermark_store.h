#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"

#include "common/redis/script.h"
#include "common/stream/topic.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::detection {

// The latest entry of a shard of "events" with which all windows were told how far time has come.
// Whoever reads the shard again tells it with the same entries, or the windows might forget a group
// earlier or later than the first time.
struct Watermark {
  stream::EntryId at;
  int64_t slot = -1;  // receive time in units of kWatermarkInterval
};
inline constexpr int64_t kWatermarkInterval = 10LL * 1'000'000'000;  // ns

// In the flow Redis, beside the shards. Thread-safe.
class WatermarkStore {
 public:
  explicit WatermarkStore(std::shared_ptr<redis::Pool> flow);
  absl::StatusOr<Watermark> Load(int shard) const;
  // Before the windows are told. What is kept never goes back.
  absl::Status Save(int shard, const Watermark& watermark) const;

 private:
  const std::shared_ptr<redis::Pool> flow_;
  const redis::Script save_;
};

}  // namespace yagura::detection
