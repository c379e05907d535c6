#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/redis/script.h"
#include "common/stream/topic.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::detection {

// An entry that a reader gave up, or a piece of one.
struct DeadLetter {
  stream::EntryId id;  // in the dead letters: when it was given up
  std::string entry;   // id of the entry in the stream
  std::string reader;
  std::string key;  // the entry's, or what the piece is called: the id of an event
  std::string error;
  std::string payload;
};

// How far the dead letters have been told of.
struct DeadLetterPlaces {
  std::string version;  // changes with every Save; empty: none yet
  std::map<std::pair<std::string, int>, stream::EntryId> last;  // by topic and shard
  std::map<std::string, uint64_t> counts;  // by what makes a finding of its own
};

// The dead letters of all readers of some topics, in the flow Redis. Thread-safe.
class DeadLetters {
 public:
  explicit DeadLetters(std::shared_ptr<redis::Pool> flow);

  // The first ones behind `after`, in order.
  absl::StatusOr<std::vector<DeadLetter>> Read(const stream::Topic& topic, int shard,
                                               stream::EntryId after) const;
  // The last ones before `before`, the latest first; at most `count`.
  absl::StatusOr<std::vector<DeadLetter>> ReadBack(const stream::Topic& topic, int shard,
                                                   stream::EntryId before, int count) const;
  // Nothing where there is none of that id.
  absl::StatusOr<std::optional<DeadLetter>> Get(const stream::Topic& topic, int shard,
                                                stream::EntryId id) const;
  // False where there was none of that id.
  absl::StatusOr<bool> Remove(const stream::Topic& topic, int shard, stream::EntryId id) const;

  struct Totals {
    uint64_t kept = 0;
    uint64_t dropped = 0;  // the oldest, for the limits of stream/topic.h
  };
  // Of all shards.
  absl::StatusOr<Totals> Count(const std::vector<stream::Topic>& topics) const;

  absl::StatusOr<DeadLetterPlaces> Load() const;
  // ABORTED (YAGURA_TOLD) where another process has saved since `places` was loaded.
  absl::Status Save(const DeadLetterPlaces& places) const;

 private:
  const std::shared_ptr<redis::Pool> flow_;
  const redis::Script save_;
  const redis::Script remove_;
};

}  // namespace yagura::detection
