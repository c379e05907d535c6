#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "common/stream/topic.h"
#include "services/archive/storage/spool.h"
#include "services/archive/workers/retention.h"

namespace yagura::eventstore {
class Client;
}

namespace yagura::archive {

class EventBlock;
class EventTable;
class ProofStore;

// Puts planned ranges into the event store, and the digests of what is put there. Thread-safe.
class RangeInserter {
 public:
  RangeInserter(std::shared_ptr<eventstore::Client> client, const EventTable& table,
                const Retention& retention, const ProofStore* proofs = nullptr);

  // Entries first..end-1 of a range, and of each the events first_event..end_event-1.
  struct Part {
    size_t first = 0;
    size_t end = 0;
    size_t first_event = 0;
    size_t end_event = SIZE_MAX;
  };
  struct Outcome {
    uint64_t events = 0;
    // Entries, by their place in the range, that are no batch of events: they are not in the store.
    std::vector<std::pair<size_t, absl::Status>> broken;
  };
  // Durable once it returns. The same range again changes nothing. Errors are those of Client, and
  // UNAVAILABLE (HOLDS_UNKNOWN).
  absl::StatusOr<Outcome> Insert(const RangeData& range) const;
  // A part of the range under a token of its own: never of a range that may have been inserted
  // whole.
  absl::StatusOr<Outcome> Insert(const RangeData& range, const Part& part,
                                 const std::string& token) const;
  // OK where the event store takes an insert of no consequence, and makes it durable.
  absl::Status Probe() const;

 private:
  absl::StatusOr<Outcome> Insert(const RangeData& range, const Part& part, const std::string& token,
                                 const Retention::Holds& holds) const;
  absl::Status Insert(EventBlock* block, const std::string& token) const;

  const std::shared_ptr<eventstore::Client> client_;
  const EventTable& table_;
  const Retention& retention_;
  const ProofStore* const proofs_;  // null: no digests are made
};

// Deduplication token of a range.
std::string TokenOf(std::string_view topic, int shard, stream::EntryId first, stream::EntryId last);

}  // namespace yagura::archive
