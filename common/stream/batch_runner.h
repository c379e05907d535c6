#pragma once

#include <span>
#include <vector>

#include "absl/status/status.h"

#include "common/clock/stop_signal.h"
#include "common/log/log.h"
#include "common/stream/lease_keeper.h"
#include "common/stream/leased_cursor.h"
#include "common/stream/worker.h"

namespace yagura::stream {

// Brings the entries of one shard through the handler: tries again, bisects, writes dead letters,
// commits. What it is given must outlive it.
class BatchRunner {
 public:
  BatchRunner(const Worker::Options& options, const Worker::Handler& handler,
              const Worker::DeadLetterHook& on_dead_letter, const StopSignal& stop, Logger logger);

  // OK once all entries are committed. CANCELLED where it was told to stop before; any other error
  // means that the cursor cannot be used any more, as a rule because its lease is lost.
  absl::Status Run(LeasedCursor& cursor, const LeaseKeeper::Held& lease,
                   const std::vector<Entry>& entries) const;

 private:
  struct Job {
    LeasedCursor& cursor;
    const LeaseKeeper::Held& lease;
    Worker::Context context;
  };
  absl::Status RunPart(const Job& job, const std::vector<Entry>& entries, int max_attempts) const;
  absl::Status GiveUp(const Job& job, const Entry& entry, absl::Status error) const;
  absl::Status Bury(const Job& job, const Entry& entry, const absl::Status& error) const;
  absl::Status BuryPieces(const Job& job, const Entry& entry,
                          const std::vector<DeadPiece>& pieces) const;
  void Tell(const Job& job, const Entry& entry, const absl::Status& error) const;
  absl::Status Persist(const Job& job, const std::function<absl::Status()>& step) const;
  absl::Status Call(const Worker::Context& context, const std::vector<Entry>& entries) const;
  absl::StatusOr<std::vector<DeadPiece>> Split(const Worker::Context& context,
                                               const Entry& entry) const;
  // OK after a pause that grows with `turn`; the error that ends the work where there is one.
  absl::Status Pause(const Job& job, int turn) const;

  const Worker::Options& options_;
  const Worker::Handler& handler_;
  const Worker::DeadLetterHook& on_dead_letter_;
  const StopSignal& stop_;
  const Logger logger_;
};

}  // namespace yagura::stream
