#pragma once

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

// Which units this suite is storing or has stored, until they are sealed, in the state Redis: who
// can write the event store alone can put rows with digests of their own there, and must not get
// them signed. Kept for 40 days. Thread-safe. Errors: UNAVAILABLE.
class UnitLedger {
 public:
  explicit UnitLedger(std::shared_ptr<redis::Pool> state);

  // Before they are stored; any number of times.
  absl::Status Note(const std::vector<EventUnit>& units) const;
  // Of each of the units, all of one tenant and day, whether it was noted just as it is.
  absl::StatusOr<std::vector<bool>> Noted(const std::vector<EventUnit>& units) const;
  // What has been sealed, of one tenant and day.
  absl::Status Forget(const std::vector<EventUnit>& units) const;

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
};

}  // namespace yagura::archive
