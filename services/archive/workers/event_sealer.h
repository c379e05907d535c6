#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "common/auth/token.h"
#include "common/clock/clock.h"
#include "common/log/log.h"
#include "services/archive/storage/audit_key.h"
#include "services/archive/storage/head_memory.h"
#include "services/archive/storage/proof_store.h"
#include "services/archive/storage/unit_ledger.h"
#include "services/archive/workers/unit_watch.h"
#include "services/archive/workers/write_gate.h"

namespace yagura::archive {

class Retention;

// Chains the units of each tenant and day that no head has yet, and signs the ends, once a minute.
// Several processes may: of two heads with the same number the store keeps the first, and what the
// other one had is sealed in the next turn.
//
// Nothing is signed behind heads that are not what the state Redis remembers, or that nobody
// trusted has signed: such a day is told of and left alone, so that who can write the event store
// alone does not get it signed anew. What goes on with other days. Nor are units signed that this
// suite did not store: they stay unsealed, of which verification tells.
class EventSealer {
 public:
  struct Options {
    std::chrono::milliseconds interval{60'000};
    // What was stored so long before the start is looked for; what lay there unsealed for longer
    // stays so, and verification tells of it.
    std::chrono::hours look_back{24 * 7};
    // All days that are remembered are compared with the store so often, the first time at once.
    std::chrono::hours review{24};
    // Units that were stored and are not there any more, unsealed, are looked for so often.
    std::chrono::minutes watch{60};
    WriteGate* gate = nullptr;  // null: never closed
  };
  struct Parts {
    const ProofStore& store;
    const HeadMemory& memory;
    const UnitLedger& ledger;
    const Retention& retention;
    auth::SigningKey key;
    TrustedKeys trusted;  // of all who may seal
    std::shared_ptr<const Clock> clock;
    Logger logger;
  };
  EventSealer(Parts parts, Options options);
  ~EventSealer();  // stops

  // Seals what is there. DATA_LOSS (EVENT_STORE_BEHIND, EVENT_STORE_ALTERED, EVENT_HEAD_LATER,
  // HEAD_DIFFERS) where a day could not be: all others are. DATA_LOSS (HEAD_MEMORY_UNREADABLE) also
  // where none could.
  absl::Status Turn();
  void Start();
  void Stop();
  // Days whose heads in the store are not those that were sealed.
  size_t broken() const;
  // Units that lay in the store and that this suite did not put there.
  size_t strange() const;
  // Units that were stored and are gone from the store, unsealed.
  size_t missing() const { return watch_.missing(); }

 private:
  using Heads = std::vector<v1::EventHead>;
  absl::Status SealAll(const std::vector<EventUnit>& units);
  // Those of one tenant and day that this suite stored; tells of the others.
  absl::StatusOr<std::vector<EventUnit>> OurOwn(const std::vector<EventUnit>& units);
  absl::Status BeginLedger();
  absl::Status BeginProof();
  absl::Status Seal(const std::vector<EventUnit>& units);  // of one tenant and day
  // The day's heads, once they are found to be those that are remembered, or to go on from them.
  absl::StatusOr<Heads> Agreed(const std::string& tenant, int64_t day);
  absl::Status Follows(const Heads& heads, const HeadMemory::Head& known) const;
  absl::Status Review();
  absl::Status ReviewTenant(const std::string& tenant);
  bool Held(std::string_view tenant, int64_t day) const;
  bool Over(const HeadMemory::Head& known) const;
  void Tell(const std::string& tenant, int64_t day, const absl::Status& status);
  void Run(const std::stop_token& stop);

  const Parts parts_;
  const Options options_;
  UnitWatch watch_;
  // What was stored before, by the store's clock, has a head; one turn at a time.
  TimePoint since_;
  TimePoint next_review_;
  TimePoint next_watch_;
  mutable std::mutex mutex_;
  std::set<std::pair<std::string, int64_t>> broken_;  // guarded by mutex_
  std::set<uint64_t> strange_;                        // numbers; guarded by mutex_
  bool begun_ = false;                                // the ledger; one turn at a time
  bool proving_ = false;                              // it is known since when; one turn at a time
  std::jthread thread_;
};

}  // namespace yagura::archive
