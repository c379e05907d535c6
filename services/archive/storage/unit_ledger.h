#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/redis/script.h"
#include "services/archive/domain/event_proof.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::archive {

// Which units this suite is storing (noted, for 40 days) and has stored (for as long as their
// digests are kept), until they are sealed, in the state Redis: who can write the event store alone
// can put rows with digests of their own there, and must not get them signed; nor delete what was
// stored before it is sealed, and be missed nowhere. Thread-safe. Errors: UNAVAILABLE, and
// INTERNAL (LEDGER_UNREADABLE).
class UnitLedger {
 public:
  explicit UnitLedger(std::shared_ptr<redis::Pool> state);

  // Before they are stored; any number of times.
  absl::Status Note(const std::vector<EventUnit>& units) const;
  // Once they are stored, and will be whatever happens; any number of times. Of those that are
  // not noted any more, as they were sealed meanwhile, nothing is kept.
  absl::Status NoteStored(const std::vector<EventUnit>& units) const;
  // Of each of the units, all of one tenant and day, whether it was noted just as it is.
  absl::StatusOr<std::vector<bool>> Noted(const std::vector<EventUnit>& units) const;
  // What has been sealed, of one tenant and day.
  absl::Status Forget(const std::vector<EventUnit>& units) const;

  struct StoredUnit {
    TimePoint stored;  // by the clock of Redis; the first time
    TimePoint over;    // from when on its digest may be gone

    // By then it was sealed, or lies unsealed in the event store.
    bool IsDue(TimePoint now) const { return stored + kSealedWithin < now; }
  };
  // By number: what was stored and was not sealed then.
  absl::StatusOr<std::map<uint64_t, StoredUnit>> Stored(std::string_view tenant, int64_t day) const;
  // Days of which something was.
  absl::StatusOr<std::vector<int64_t>> Days(std::string_view tenant) const;

  // Since when (of receipt) nothing is stored without a digest; nothing while that is not known.
  absl::StatusOr<std::optional<TimePoint>> ProvenSince() const;
  // Once and for all.
  absl::Status BeginProof(TimePoint since) const;

  // Whether there is a ledger at all: units that an earlier release stored are in none.
  absl::StatusOr<bool> Begun() const;
  absl::Status Begin() const;

 private:
  const std::shared_ptr<redis::Pool> state_;
  const redis::Script note_;
  const redis::Script note_stored_;
  const redis::Script days_;
};

}  // namespace yagura::archive
