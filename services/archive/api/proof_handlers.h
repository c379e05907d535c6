#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/rpc/call.h"
#include "common/rpc/streams.h"
#include "common/store/store.h"
#include "services/archive/api/event_verifier.h"
#include "services/archive/storage/audit_key.h"
#include "services/archive/storage/head_memory.h"
#include "services/archive/storage/proof_store.h"
#include "services/archive/storage/unit_ledger.h"
#include "yagura/archive/v1/legal_hold.pb.h"
#include "yagura/archive/v1/proof_service.pb.h"

namespace yagura::archive {

// The answers of ProofService. Thread-safe.
class ProofHandlers {
 public:
  // `store`, `memory` and `ledger` must outlive the object.
  ProofHandlers(const ProofStore& store, const HeadMemory& memory, const UnitLedger& ledger,
                store::Store<v1::LegalHold> holds, TrustedKeys trusted,
                std::shared_ptr<const Clock> clock);

  absl::Status VerifyEvents(const rpc::Call& call, const v1::VerifyEventsRequest& request,
                            const rpc::Outbox<v1::VerifyEventsResponse>& out) const;
  absl::StatusOr<v1::ListEventHeadsResponse> ListEventHeads(
      const rpc::Call& call, const v1::ListEventHeadsRequest& request) const;

 private:
  absl::StatusOr<std::vector<EventVerifier::Hold>> HoldsOf(const std::string& tenant) const;

  const ProofStore& store_;
  const HeadMemory& memory_;
  const UnitLedger& ledger_;
  const store::Store<v1::LegalHold> holds_;
  const TrustedKeys trusted_;
  const std::shared_ptr<const Clock> clock_;
};

}  // namespace yagura::archive
