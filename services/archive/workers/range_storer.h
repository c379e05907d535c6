#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "common/log/log.h"
#include "services/archive/storage/spool.h"
#include "services/archive/workers/range_inserter.h"

namespace yagura::archive {

class DeadLetters;

// Brings a planned range into the event store whatever is in it. What the store refuses for good is
// looked for by halves, down to the event, which goes to the dead letters of its shard with the
// error; the rest is stored. Thread-safe.
//
// A half is inserted under a token of its own, so that its whole must never be inserted again: it
// is marked as split in the plan first.
class RangeStorer {
 public:
  RangeStorer(const RangeInserter& inserter, const DeadLetters& dead_letters, Logger logger);

  struct Stored {
    uint64_t events = 0;
    uint64_t buried = 0;  // batches and events that went to the dead letters
  };
  using SavePlan = std::function<absl::Status(const RangeData&)>;
  // OK once each event is in the store or in the dead letters. After any other answer the same
  // range is tried again later, with the same `failures`, which begins at 0: how often it was
  // refused. An outage is no refusal.
  absl::StatusOr<Stored> Store(RangeData& range, const SavePlan& save, int* failures) const;

 private:
  struct Job;
  absl::Status StorePart(Job& job, const RangeInserter::Part& part) const;
  absl::Status Bury(Job& job, const RangeInserter::Part& part, const absl::Status& error) const;
  absl::Status BuryEntry(Job& job, const stream::Entry& entry, const absl::Status& error) const;

  const RangeInserter& inserter_;
  const DeadLetters& dead_letters_;
  const Logger logger_;
};

}  // namespace yagura::archive
