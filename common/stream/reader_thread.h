#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "common/log/log.h"
#include "common/redis/script.h"
#include "common/stream/batch_runner.h"
#include "common/stream/lease_keeper.h"
#include "common/stream/leased_cursor.h"
#include "common/stream/topic.h"

namespace yagura::stream {

// One member of the crowd that reads a topic for one reader name: the threads of all processes.
// Takes its fair share of the shards, gives back what is more than that when others join, and
// reads its shards in turn.
class ReaderThread {
 public:
  struct Parts {
    std::shared_ptr<redis::Pool> flow;
    Topic topic;
    Worker::Options options;
    std::string holder;  // of this thread alone
    LeaseKeeper& keeper;
    const BatchRunner& runner;
    const StopSignal& stop;
    Logger logger;
  };
  explicit ReaderThread(Parts parts);

  // Makes itself known to the others, so that the first of them does not take everything.
  absl::Status Join();
  // Reads until told to stop, then gives everything back.
  void Run();

 private:
  struct Shard {
    LeasedCursor cursor;
    std::shared_ptr<LeaseKeeper::Held> lease;
  };
  enum class Outcome { kIdle, kBusy, kLost };

  void Balance();
  void AcquireUpTo(size_t share);
  void ReleaseDownTo(size_t share);
  Outcome Step(Shard& shard);
  void WaitForWork();
  void Leave();
  bool Holds(int shard) const;

  Parts parts_;
  const redis::Script member_script_;
  size_t share_ = 0;
  int next_shard_;  // where to look for a free one first
  std::chrono::steady_clock::time_point next_balance_;
  std::vector<Shard> shards_;
};

}  // namespace yagura::stream
