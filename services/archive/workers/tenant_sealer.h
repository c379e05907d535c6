#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/auth/token.h"
#include "common/clock/clock.h"
#include "common/log/log.h"
#include "services/archive/storage/audit_store.h"
#include "services/archive/storage/seal_store.h"
#include "services/archive/workers/write_gate.h"

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
  WriteGate* gate = nullptr;            // null: never closed
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

  // Takes the lease, finishes what another had begun, seals what there is at that time (what comes
  // meanwhile is for the next turn, or one tenant could keep all others waiting), and gives the
  // lease back; stops between two stretches. UNAVAILABLE: for now; ABORTED (LEASE_LOST): another
  // goes on. DATA_LOSS (FEED_ALTERED, FEED_LOST, AUDIT_STORE_BEHIND, AUDIT_STORE_ALTERED): nothing
  // of this tenant can be sealed, nor trimmed, until somebody has looked.
  absl::Status Run(const std::stop_token& stop = {});

 private:
  // A stretch that is being built.
  struct Stretch {
    audit::v1::Head head;  // previous_hash, first_sequence and seal_time are given
    std::vector<SealedRecord> records;
    TimePoint order_time{};  // of the last record
    uint64_t lost = 0;
  };

  absl::Status RunLeased(const std::stop_token& stop);
  absl::Status Repeat();
  absl::Status Reconcile(const std::stop_token& stop);
  absl::StatusOr<std::optional<SealedHead>> SealHeadless(const std::optional<SealedHead>& last);
  absl::Status StoreIsAhead(const SealedHead& last);
  absl::Status StoreIsBehind(uint64_t sequence, const std::string& hash,
                             const std::stop_token& stop);
  absl::StatusOr<uint64_t> CommonWith(uint64_t sealed) const;
  // H(`up_to`) as the feed has it; empty where it lacks a record.
  absl::StatusOr<std::string> HashOfFeed(uint64_t after, std::string hash, uint64_t up_to,
                                         const std::stop_token& stop) const;
  absl::Status SealNext(uint64_t up_to);
  absl::Status Store(const Stretch& stretch);
  void Sign(audit::v1::Head& head, int64_t expires) const;
  void Follow(const SealedHead& last);

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
  // Of the last head: none that follows is earlier in any of them, whatever the clock and the
  // retention are by then.
  TimePoint order_time_{};
  TimePoint seal_time_{};
  int64_t expires_ = 0;  // seconds
};

}  // namespace yagura::archive
