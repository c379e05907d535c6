#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/status.h"

#include "common/rpc/quota.h"

namespace yagura::ingestion {

// Charges requests of inputs that are not calls of the server what it would charge for them: the
// same quotas of the same tenants. Thread-safe.
class TenantCharges {
 public:
  // Null: nobody is charged.
  explicit TenantCharges(std::shared_ptr<rpc::TenantQuotas> quotas) : quotas_(std::move(quotas)) {}

  // Before anything of the request is taken: it counts as a call, and is refused where its tenant
  // has used up either quota. RESOURCE_EXHAUSTED (QUOTA_EXCEEDED, with the time to come back).
  absl::Status Begin(std::string_view tenant) const;
  // What it really brought, inflated. Never refused, since it is here; the next ones wait for it.
  void Bytes(std::string_view tenant, uint64_t bytes) const;

 private:
  std::shared_ptr<rpc::TenantQuotas> quotas_;
};

// When to come back, of an error that says so.
std::optional<std::chrono::milliseconds> RetryDelayOf(const absl::Status& status);

}  // namespace yagura::ingestion
