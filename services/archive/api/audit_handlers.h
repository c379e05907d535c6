#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/rpc/call.h"
#include "common/rpc/streams.h"
#include "services/archive/storage/audit_key.h"
#include "yagura/audit/v1/audit_service.pb.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::archive {

class AuditStore;
class SealStore;

// The answers of AuditService: sealed records from the event store, the rest from the tenants'
// change feeds in the state Redis. Thread-safe.
class AuditHandlers {
 public:
  AuditHandlers(std::shared_ptr<redis::Pool> state, const SealStore& seals, const AuditStore& store,
                TrustedKeys trusted, std::shared_ptr<const Clock> clock);

  // Looks at no more than 5,000 unsealed records a page: a filter that fits few gives short pages.
  // While the event store is down, what the feeds still have is given, and then UNAVAILABLE.
  absl::StatusOr<audit::v1::ListRecordsResponse> ListRecords(
      const rpc::Call& call, const audit::v1::ListRecordsRequest& request) const;
  absl::Status VerifyRecords(const rpc::Call& call, const audit::v1::VerifyRecordsRequest& request,
                             const rpc::Outbox<audit::v1::VerifyRecordsResponse>& out) const;
  absl::StatusOr<audit::v1::ListSealingKeysResponse> ListSealingKeys(
      const rpc::Call& call, const audit::v1::ListSealingKeysRequest& request) const;

 private:
  absl::StatusOr<std::vector<std::string>> TenantsOf(const rpc::Call& call) const;

  const std::shared_ptr<redis::Pool> state_;
  const SealStore& seals_;
  const AuditStore& store_;
  const TrustedKeys trusted_;
  const std::shared_ptr<const Clock> clock_;
};

}  // namespace yagura::archive
