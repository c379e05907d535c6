#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/auth/token.h"
#include "common/clock/clock.h"
#include "common/log/log.h"
#include "services/archive/storage/audit_store.h"
#include "services/archive/storage/seal_store.h"

namespace yagura::archive {

struct SealOptions {
  std::string holder;                          // of leases; empty: one of its own
  std::chrono::milliseconds interval{60'000};  // a record waits so long to be sealed ...
  size_t records_per_seal = 5'000;             // ... or until so many wait; no seal has more
  std::chrono::milliseconds lease{20'000};     // a killed sealer's tenant waits so long for another
  // The feed keeps sealed records for so long, for those who follow it, but not more than so many.
  std::chrono::milliseconds keep_age{std::chrono::hours(24)};
  uint64_t keep_records = 100'000;
  int retention_days = 400;  // in the event store, from the time of sealing
};

// What a sealer has just done: tests end the process there.
enum class SealStep { kLeased, kPlanned, kRecordsStored, kHeadStored, kAdvanced, kTrimmed };

// What the sealers of all tenants share.
struct SealerParts {
  const SealStore& seals;
  const AuditStore& store;
  const auth::SigningKey& key;
  std::shared_ptr<const Clock> clock;
  Logger logger;
  std::function<void(SealStep)> after_step = [](SealStep) {};
  std::atomic<uint64_t> sealed{0};      // records sealed by this process
  std::atomic<uint64_t> seals_made{0};  //
  std::atomic<uint64_t> lost{0};        // records that vanished from the feed unsealed
  std::atomic<uint64_t> trimmed{0};     // records dropped from the feeds
};

// Seals what one tenant's feed has, stretch after stretch: sign and plan, store the records, store
// the head, move the position. Not thread-safe; made anew for each turn.
class TenantSealer {
 public:
  TenantSealer(std::string tenant, std::string holder, const SealOptions& options,
               SealerParts& parts);

  // Takes the lease, finishes what another had begun, seals all that there is, and gives the lease
  // back. UNAVAILABLE: for now; ABORTED (LEASE_LOST): another goes on. DATA_LOSS (FEED_ALTERED,
  // FEED_LOST, AUDIT_STORE_BEHIND): nothing of this tenant can be sealed, nor trimmed, until
  // somebody has looked.
  absl::Status Run();

 private:
  // A stretch that is being built.
  struct Stretch {
    audit::v1::Head head;  // previous_hash, first_sequence and seal_time are given
    std::vector<SealedRecord> records;
    TimePoint order_time{};  // of the last record
    uint64_t lost = 0;
  };

  absl::Status RunLeased();
  absl::Status Repeat();
  absl::Status Reconcile();
  absl::Status StoreIsAhead(const SealedHead& last);
  absl::Status StoreIsBehind(uint64_t sequence, const std::string& hash);
  absl::StatusOr<uint64_t> CommonWith(uint64_t sealed) const;
  absl::StatusOr<bool> SealNext();
  absl::Status Store(const Stretch& stretch);

  Stretch NewStretch(uint64_t after, const std::string& hash, TimePoint order_time,
                     TimePoint seal_time) const;
  // Adds what the feed has up to `up_to`; numbers that are not there count as lost.
  absl::Status Fill(Stretch& stretch, uint64_t up_to, size_t most_records, size_t most_bytes) const;
  void Add(Stretch& stretch, uint64_t sequence, std::string bytes) const;
  absl::StatusOr<SealStore::Feed> Look() const;

  const std::string tenant_;
  const std::string holder_;
  const SealOptions& options_;
  SealerParts& parts_;
  SealStore::Lease lease_;
  SealStore::Position position_;
  TimePoint order_time_{};  // of the last sealed record
};

}  // namespace yagura::archive
