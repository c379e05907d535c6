#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"

#include "common/redis/script.h"
#include "common/stream/topic.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::archive {

// Where batches and events go that the event store cannot take: the dead letters of their shard, in
// the form of every other reader's. Thread-safe.
class DeadLetters {
 public:
  DeadLetters(std::shared_ptr<redis::Pool> flow, stream::Topic topic, std::string reader);

  // Does not move the cursor, so that a planned range stays whole until all of it is dealt with.
  // The same key again within a week changes nothing.
  absl::Status Write(int shard, const stream::Entry& entry, const absl::Status& error) const;

 private:
  const std::shared_ptr<redis::Pool> flow_;
  const stream::Topic topic_;
  const std::string reader_;
  const redis::Script write_;
};

}  // namespace yagura::archive
