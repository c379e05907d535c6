#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/redis/script.h"
#include "yagura/detection/internal/v1/observation_state.pb.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::detection {

// How far the hours of tenants have been judged: y:{<tenant>}:detection:observation in the state
// Redis, a hash of "hour", "state" and "settled". And since when somebody judges them at all:
// y:{observation}:detection:observation, a hash of "seen" and "settled". Thread-safe.
class ObservationStore {
 public:
  explicit ObservationStore(std::shared_ptr<redis::Pool> state);

  // Empty (last_hour 0) where nothing was judged yet.
  absl::StatusOr<internal::v1::ObservationState> Load(const std::string& tenant) const;
  // In place of the state of `before` (its last_hour). ABORTED (JUDGED) where another process was
  // first.
  absl::Status Save(const std::string& tenant, int64_t before,
                    const internal::v1::ObservationState& after) const;

  // The tenant's hours wait until then, for whichever process.
  absl::Status Settle(const std::string& tenant, TimePoint until) const;
  // Until when they wait; the epoch where nobody said so.
  absl::StatusOr<TimePoint> SettledAt(const std::string& tenant) const;

  // Somebody runs now; until when the hours of all tenants wait: where nobody has run for longer
  // than `gone`, for `settle` from now on.
  absl::StatusOr<TimePoint> Run(TimePoint now, std::chrono::milliseconds gone,
                                std::chrono::milliseconds settle) const;

 private:
  const std::shared_ptr<redis::Pool> state_;
  const redis::Script save_;
  const redis::Script run_;
};

}  // namespace yagura::detection
