#pragma once

#include <chrono>
#include <memory>
#include <set>
#include <string>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "services/archive/storage/job_lease.h"

namespace yagura::eventstore {
class Client;
}

namespace yagura::archive {

// Has the event store make the indexes by which words are found (and those of addresses, where a
// day has none yet), of a day at a time, the newest first: neither inserts nor merges make those of
// words, as they cost about as much as storing a line. Not thread-safe.
class WordIndexer {
 public:
  // `lease`: of several processes, which all ask for the next day, the one that has it begins days.
  // It keeps it from one day to the next, as replicas learn only in a while of what was begun; one
  // that asks no more is succeeded when the lease has run out. `settle`: a day is begun once it is
  // over, and nothing of it came or was merged, for so long; and once its texts have been
  // compressed again, where they are to be (Tiering::recompress).
  WordIndexer(std::shared_ptr<eventstore::Client> client, JobLease lease,
              std::chrono::seconds settle = std::chrono::hours(1));

  // The day (partition, "20261122") whose indexes the store begins to make, in the background;
  // empty where all days have them, one is still being made, or another process sees to it. What
  // came into a day afterwards, or was merged, counts once it is a twentieth of the day; a day is
  // begun once a day at most. UNAVAILABLE (WORD_INDEX_FAILED) while the store tries one in vain: it
  // goes on to try. ABORTED (LEASE_LOST) where another process came in between.
  absl::StatusOr<std::string> Next(TimePoint now);

 private:
  absl::StatusOr<bool> UnderWay() const;

  const std::shared_ptr<eventstore::Client> client_;
  const JobLease lease_;
  const std::chrono::seconds settle_;
  std::string today_;
  std::set<std::string> begun_;  // today
};

}  // namespace yagura::archive
