#pragma once

#include <memory>

#include "absl/status/statusor.h"

#include "common/rpc/call.h"
#include "yagura/audit/v1/audit_service.pb.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::archive {

// The answers of AuditService, from the tenants' change feeds in the state Redis. Thread-safe.
class AuditHandlers {
 public:
  explicit AuditHandlers(std::shared_ptr<redis::Pool> state) : state_(std::move(state)) {}

  // Looks at no more than 5,000 records a page: a filter that fits few gives short pages.
  absl::StatusOr<audit::v1::ListRecordsResponse> ListRecords(
      const rpc::Call& call, const audit::v1::ListRecordsRequest& request) const;

 private:
  const std::shared_ptr<redis::Pool> state_;
};

}  // namespace yagura::archive
