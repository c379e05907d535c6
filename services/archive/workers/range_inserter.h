#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "common/stream/topic.h"
#include "services/archive/storage/spool.h"

namespace yagura::eventstore {
class Client;
}

namespace yagura::archive {

class EventTable;
class Retention;

// Puts planned ranges into the event store. Thread-safe.
class RangeInserter {
 public:
  RangeInserter(std::shared_ptr<eventstore::Client> client, const EventTable& table,
                const Retention& retention);

  struct Outcome {
    uint64_t events = 0;
    // Entries that are no batch of events: they are not in the store.
    std::vector<std::pair<stream::EntryId, absl::Status>> broken;
  };
  // Durable once it returns. The same range again changes nothing. Errors are those of Client.
  absl::StatusOr<Outcome> Insert(const RangeData& range) const;

 private:
  const std::shared_ptr<eventstore::Client> client_;
  const EventTable& table_;
  const Retention& retention_;
};

// Deduplication token of a range.
std::string TokenOf(std::string_view topic, int shard, stream::EntryId first, stream::EntryId last);

}  // namespace yagura::archive
