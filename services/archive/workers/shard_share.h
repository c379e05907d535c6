#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>

#include "common/redis/script.h"
#include "common/stream/topic.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::archive {

// How many shards this process may hold, so that all processes of a reader have about as many: all
// shards by the number of processes alive, rounded up. Thread-safe.
class ShardShare {
 public:
  struct Member {
    std::string reader;
    std::string holder;               // unique among the processes
    std::chrono::milliseconds lease;  // who has not been heard of for so long is gone
  };
  ShardShare(std::shared_ptr<redis::Pool> flow, stream::Topic topic, Member member);

  // Whether one more shard may be held; it counts as held then, until GiveBack.
  bool Take();
  void GiveBack();
  // Whether more shards are held than this process should: one of them does not count any more, and
  // must be let go.
  bool LetGo();
  // The others need not wait until this process is not heard of any more.
  void Leave();

 private:
  void Refresh();  // under mutex_

  const std::shared_ptr<redis::Pool> flow_;
  const stream::Topic topic_;
  const Member member_;
  const redis::Script script_;
  std::mutex mutex_;
  size_t share_;  // guarded by mutex_, as is what follows
  size_t held_ = 0;
  std::chrono::steady_clock::time_point next_;  // when to look who else is there
};

}  // namespace yagura::archive
