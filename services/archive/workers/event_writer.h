#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"

#include "common/log/log.h"
#include "services/archive/storage/dead_letters.h"
#include "services/archive/workers/shard_share.h"
#include "services/archive/workers/shard_writer.h"
#include "services/archive/workers/write_gate.h"

namespace yagura::archive {

// Reads all shards of the events' topic and brings them into the event store, on threads of its
// own. Several processes may do so: each shard has one holder, and each process about as many
// shards.
class EventWriter {
 public:
  struct Parts {
    std::shared_ptr<redis::Pool> flow;
    stream::Topic topic;
    std::shared_ptr<eventstore::Client> client;
    const EventTable& table;
    const Retention& retention;
    Spool& spool;
    Logger logger;
    const ProofStore* proofs = nullptr;  // null: no digests are made
    WriteGate* gate = nullptr;           // null: never closed
  };
  EventWriter(const Parts& parts, WriterOptions options, int threads);
  ~EventWriter();  // stops
  void Start();
  // Stores what has been read, gives the leases back.
  void Stop();

  // OK, or why events are not being stored.
  absl::Status Health() const;
  uint64_t events() const { return shared_.events; }
  uint64_t inserts() const { return shared_.inserts; }
  uint64_t broken() const { return shared_.broken; }

 private:
  struct Item {
    int shard;
    ShardWriter writer;
    std::chrono::steady_clock::time_point next;  // not before
    bool taken;                                  // counts as ours in share_
  };
  bool Step(Item& item, std::chrono::milliseconds block);
  void Run(const std::stop_token& stop, int thread);
  void DrainLoop(const std::stop_token& stop);
  absl::Status DrainOne(int shard, int* failures);
  void Report(int shard, const absl::Status& status);

  const WriterOptions options_;
  const int threads_count_;
  WriteGate* const gate_;
  const std::string holder_;
  const PlanStore plans_;
  const RangeInserter inserter_;
  const DeadLetters dead_letters_;
  const RangeStorer storer_;
  stream::LeaseKeeper leases_;
  ShardShare share_;
  WriterParts shared_;
  mutable std::mutex mutex_;
  std::vector<absl::Status> health_;  // by shard
  std::vector<std::jthread> threads_;
};

}  // namespace yagura::archive
