#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/log/log.h"
#include "services/archive/storage/unit_ledger.h"

namespace yagura::archive {

class HeadMemory;
class ProofStore;

// Looks for units that were stored and that are neither sealed nor in the event store any more:
// somebody deleted them there before they were sealed. The log tells of them; verification names
// them. Thread-safe.
class UnitWatch {
 public:
  // References outlive the object.
  struct Parts {
    const ProofStore& store;
    const HeadMemory& memory;
    const UnitLedger& ledger;
    Logger logger;
  };
  explicit UnitWatch(Parts parts);

  // At all tenants.
  absl::Status Look(TimePoint now);
  // Units that were missing at the last look.
  size_t missing() const;

 private:
  using Day = std::pair<std::string, int64_t>;  // tenant and day
  absl::Status LookAt(const Day& day, TimePoint now);
  void Tell(const Day& day, size_t missing);

  const Parts parts_;
  mutable std::mutex mutex_;
  std::map<Day, size_t> missing_;  // guarded by mutex_
};

}  // namespace yagura::archive
