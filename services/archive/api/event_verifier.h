#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "services/archive/storage/audit_key.h"
#include "services/archive/storage/proof_store.h"
#include "yagura/archive/v1/proof.pb.h"

namespace yagura::archive {

// Computes one tenant's day anew from what the event store has, against the units, the signed
// heads, and what the state Redis remembers. Not thread-safe; for one run.
class EventVerifier {
 public:
  // `store` and `trusted` outlive it.
  EventVerifier(const ProofStore& store, const TrustedKeys& trusted, TimePoint now,
                std::string tenant, int64_t day);

  // Told how far it is now and then; an error ends it.
  using Progress = std::function<absl::Status(const v1::DayProof&)>;
  absl::StatusOr<v1::DayProof> Run(const std::stop_token& stop, const Progress& progress);

 private:
  struct Open;  // a unit whose events are being looked at
  using Flaw = v1::EventFlaw;

  void CheckHeads(const std::vector<v1::EventHead>& heads);
  void CheckChain(const std::vector<v1::EventHead>& heads);
  absl::Status CheckEvents(const std::stop_token& stop, const Progress& progress);
  void CloseUpTo(int64_t receive_time, std::map<uint64_t, Open>& open);
  void Close(const EventUnit& unit, Open& open);
  // Which events of the unit are at fault.
  absl::Status Explain(const EventUnit& unit, const std::stop_token& stop);
  bool MayHaveGone(const EventUnit& unit) const;
  Flaw* Tell(Flaw::Kind kind, uint64_t unit, const std::string& detail);

  const ProofStore& store_;
  const TrustedKeys& trusted_;
  const TimePoint now_;
  const std::string tenant_;
  const int64_t day_;
  std::map<uint64_t, EventUnit> units_;
  std::vector<uint64_t> broken_;     // units to be explained
  std::map<uint64_t, bool> closed_;  // units whose events have been looked at: as they were?
  v1::DayProof proof_;
  Flaw beyond_;  // where there are too many
};

}  // namespace yagura::archive
