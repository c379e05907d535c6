#pragma once

#include <memory>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/rpc/call.h"
#include "common/rpc/streams.h"
#include "services/archive/storage/audit_key.h"
#include "services/archive/storage/proof_store.h"
#include "yagura/archive/v1/proof_service.pb.h"

namespace yagura::archive {

// The answers of ProofService. Thread-safe.
class ProofHandlers {
 public:
  // `store` must outlive the object.
  ProofHandlers(const ProofStore& store, TrustedKeys trusted, std::shared_ptr<const Clock> clock);

  absl::Status VerifyEvents(const rpc::Call& call, const v1::VerifyEventsRequest& request,
                            const rpc::Outbox<v1::VerifyEventsResponse>& out) const;
  absl::StatusOr<v1::ListEventHeadsResponse> ListEventHeads(
      const rpc::Call& call, const v1::ListEventHeadsRequest& request) const;

 private:
  const ProofStore& store_;
  const TrustedKeys trusted_;
  const std::shared_ptr<const Clock> clock_;
};

}  // namespace yagura::archive
