#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"

#include "common/log/log.h"
#include "common/stream/lease_keeper.h"
#include "common/stream/leased_cursor.h"
#include "services/archive/storage/plan_store.h"
#include "services/archive/storage/spool.h"
#include "services/archive/workers/range_storer.h"

namespace yagura::archive {

struct WriterOptions {
  std::string reader = "archive";
  std::string holder;  // as stream::Worker::Options::holder; empty: made anew at each start
  std::chrono::milliseconds lease{8'000};
  size_t rows_per_insert = 50'000;             // an insert has so many rows ...
  std::chrono::milliseconds max_delay{1'000};  // ... or what came in that time
  size_t entries_per_insert = 2'000;           // and never more batches, which bounds its memory
  std::chrono::milliseconds retry{500};        // while the event store is down
  // Ranges go to the spool while the event store is down and the flow Redis uses more than this.
  uint64_t spool_above_flow_bytes = 1ull << 30;
};

// What all shards share.
struct WriterParts {
  std::shared_ptr<redis::Pool> flow;
  stream::Topic topic;
  const PlanStore& plans;
  const RangeStorer& storer;
  Spool& spool;
  stream::LeaseKeeper& leases;
  Logger logger;
  std::atomic<uint64_t> events{0};   // stored by this process
  std::atomic<uint64_t> inserts{0};  //
  std::atomic<uint64_t> broken{0};   // batches and events that went to the dead letters
};

// Brings one shard of the events into the store, range after range: plan, insert, commit. Not
// thread-safe.
class ShardWriter {
 public:
  ShardWriter(int shard, std::string holder, const WriterOptions& options, WriterParts& parts);

  // One step: take the lease, read for at most `block`, and store what is due. OK: look again at
  // once. UNAVAILABLE: nothing can be done for now, look again after a while.
  absl::Status Step(std::chrono::milliseconds block);
  // Whether it has the lease.
  bool held() const { return cursor_.has_value(); }
  // Stores what has been read, gives the lease back.
  void Finish();

 private:
  absl::Status Acquire();
  absl::Status Read(std::chrono::milliseconds block);
  absl::Status Repeat();
  bool Due() const;
  absl::Status Plan();
  absl::Status Store();
  absl::Status StoreInSpool(const absl::Status& why);
  absl::Status SavePlan(const RangeData& range) const;
  absl::Status Commit();
  absl::StatusOr<bool> FlowIsFull() const;
  void Drop();

  const int shard_;
  const std::string holder_;
  const WriterOptions& options_;
  WriterParts& parts_;
  std::optional<stream::LeasedCursor> cursor_;
  std::shared_ptr<stream::LeaseKeeper::Held> lease_;
  RangeData range_;  // read and not yet stored; planned once it has a token
  size_t rows_ = 0;
  int failures_ = 0;  // of the planned range
  std::chrono::steady_clock::time_point first_read_;
};

}  // namespace yagura::archive
