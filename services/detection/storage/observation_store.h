#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "common/redis/script.h"
#include "yagura/detection/internal/v1/observation_state.pb.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::detection {

// How far the hours of tenants have been judged: y:{<tenant>}:detection:observation in the state
// Redis, a hash of "hour" and "state". Thread-safe.
class ObservationStore {
 public:
  explicit ObservationStore(std::shared_ptr<redis::Pool> state);

  // Empty (last_hour 0) where nothing was judged yet.
  absl::StatusOr<internal::v1::ObservationState> Load(const std::string& tenant) const;
  // In place of the state of `before` (its last_hour). ABORTED (JUDGED) where another process was
  // first.
  absl::Status Save(const std::string& tenant, int64_t before,
                    const internal::v1::ObservationState& after) const;

 private:
  const std::shared_ptr<redis::Pool> state_;
  const redis::Script save_;
};

}  // namespace yagura::detection
