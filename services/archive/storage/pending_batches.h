#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/auth/principal.h"
#include "common/clock/clock.h"
#include "common/stream/topic.h"

namespace yagura::redis {
class Connection;
class Pool;
}  // namespace yagura::redis

namespace yagura::archive {

// What is known of the batches in the streams that the archive has not committed. It is asked for
// with every answer, so each batch is read from Redis once: what came since the last look is added,
// what was committed meanwhile is forgotten. Where a shard is not what it was (entries that were
// known are gone, the reader was moved back, another server or another history of its data
// answers), all of it is read anew. Thread-safe.
class PendingBatches {
 public:
  struct Head {
    stream::EntryId id;
    TimePoint first{};  // receipt of its events
    TimePoint last{};
    uint32_t events = 0;
  };
  // What lies beyond them is not looked at, or by the next look.
  struct Limits {
    size_t batches_per_look = 128;  // of a shard that are new
    size_t bytes_per_look = 4 << 20;
    size_t heads = 131'072;  // of all shards, some 5 MB
  };
  // `reader` is as whom the archive reads the topic.
  PendingBatches(std::shared_ptr<redis::Pool> flow, stream::Topic topic, std::string reader,
                 const Limits& limits);

  struct Visitor {
    std::function<void(const Head&)> batch;
    // Of a shard not all was looked at: what is not was received since about then, of whatever
    // tenant.
    std::function<void(TimePoint)> unread;
  };
  // What waits of the tenants, all of it that was in the streams when the call began. Who calls
  // while another looks waits for the next look, and shares it. Errors are those of Redis.
  absl::Status Visit(const auth::TenantSet& tenants, const Visitor& visitor);

 private:
  struct Shard {
    stream::EntryId committed;
    stream::EntryId place;  // the last batch that was looked at, or `committed`
    TimePoint reached{};    // its receipt
    bool whole = true;      // nothing lies behind `place`
    std::map<std::string, std::vector<Head>, std::less<>> heads;  // by tenant, in order
  };
  struct News;  // of a shard

  absl::Status Look();
  absl::StatusOr<std::vector<News>> ReadNews(redis::Connection& flow, bool same_history) const;
  absl::Status ReadShard(redis::Connection& flow, bool same_history, News* news) const;
  absl::StatusOr<bool> IsAsKnown(redis::Connection& flow, const Shard& known,
                                 const News& news) const;
  void Apply(std::vector<News> news);

  const std::shared_ptr<redis::Pool> flow_;
  const stream::Topic topic_;
  const std::string reader_;
  const Limits limits_;
  const size_t heads_per_shard_;

  std::mutex mutex_;
  std::condition_variable looked_;
  uint64_t begun_ = 0;     // looks; guarded by mutex_, as all below
  uint64_t finished_ = 0;  // the last of them
  absl::Status result_;    // of that
  // Written by whoever looks, under mutex_; he reads them without.
  std::string history_;
  std::vector<Shard> shards_;
};

}  // namespace yagura::archive
