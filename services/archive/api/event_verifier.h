#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "services/archive/domain/time_window.h"
#include "services/archive/storage/audit_key.h"
#include "services/archive/storage/head_memory.h"
#include "services/archive/storage/proof_store.h"
#include "services/archive/storage/unit_ledger.h"
#include "yagura/archive/v1/proof.pb.h"

namespace yagura::archive {

// Computes one tenant's day anew from what the event store has, against the units, the signed
// heads, and what the state Redis remembers. Not thread-safe; for one run.
class EventVerifier {
 public:
  // A legal hold of the tenant that is in force: all of its range is kept since then.
  struct Hold {
    TimeWindow window;
    TimePoint since;
  };
  // References outlive the verifier.
  struct Parts {
    const ProofStore& store;
    const HeadMemory& memory;
    const UnitLedger& ledger;
    const TrustedKeys& trusted;
    std::vector<Hold> holds;
    TimePoint now;
    // Events come into the store just before the digest of their unit: it is waited for so long.
    std::chrono::milliseconds patience{20'000};
    uint64_t progress_every = 200'000;  // events
  };
  EventVerifier(Parts parts, std::string tenant, int64_t day);

  // Told how far it is now and then; an error ends it.
  using Progress = std::function<absl::Status(const v1::DayProof&)>;
  absl::StatusOr<v1::DayProof> Run(const std::stop_token& stop, const Progress& progress);

 private:
  struct Open;  // a unit whose events are being looked at
  // Events of a unit that was not there when we began.
  struct Strangers {
    const char* why = "";
    std::vector<std::string> ids;
  };
  using Flaw = v1::EventFlaw;

  void CheckMemory(const std::vector<v1::EventHead>& heads);
  void CheckHeads(const std::vector<v1::EventHead>& heads);
  void CheckHead(const v1::EventHead& head, const std::string& name);
  // A later release sealed it, as far as is known: nothing is said of it.
  bool IsLater(const v1::EventHead& head) const;
  void TellLater(const std::vector<v1::EventHead>& heads);
  void CheckChain(const std::vector<v1::EventHead>& heads);
  // Which units heads of a later scheme have, and no other.
  void FindLater(const std::vector<v1::EventHead>& heads, const std::set<uint64_t>& sealed);
  // Units that say to be digested by a scheme that is not known here.
  void LeaveOutUnknown();
  void CheckUnsealed(const std::set<uint64_t>& sealed);
  void CheckStored(const std::set<uint64_t>& sealed);
  absl::Status CheckEvents(const std::stop_token& stop, const Progress& progress);
  // From when on nothing was stored without a digest.
  absl::StatusOr<int64_t> ProvenSince() const;
  void AddStranger(const ProofStore::StoredEvent& event, const char* why);
  absl::Status CheckStrangers(const std::stop_token& stop);
  absl::Status ForgetKnown();
  void CloseUpTo(int64_t receive_time, std::map<uint64_t, Open>& open);
  void Close(const EventUnit& unit, Open& open);
  // Which events of the unit are at fault.
  absl::Status Explain(const EventUnit& unit, const std::stop_token& stop);
  bool MayHaveGone(const EventUnit& unit) const;
  // Whether what the store drops at `gone` may not be there, unless a hold keeps the day.
  bool MayBeDropped(TimePoint gone) const;
  Flaw* Tell(Flaw::Kind kind, uint64_t unit, const std::string& detail);

  const Parts parts_;
  const std::string tenant_;
  const int64_t day_;
  HeadMemory::Head known_;
  bool heads_over_ = false;                            // the day's heads may have been dropped
  std::map<uint64_t, UnitLedger::StoredUnit> stored_;  // what the ledger has
  std::map<uint64_t, EventUnit> units_;
  std::set<uint64_t> doubled_;               // numbers of which several units are there
  std::set<uint64_t> later_;                 // see FindLater
  std::map<uint64_t, Strangers> strangers_;  // by the unit that they name
  std::vector<uint64_t> broken_;             // units to be explained
  std::map<uint64_t, bool> closed_;  // units whose events have been looked at: as they were?
  v1::DayProof proof_;
  Flaw beyond_;  // where there are too many
};

}  // namespace yagura::archive
