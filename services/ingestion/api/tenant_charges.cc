#include "services/ingestion/api/tenant_charges.h"

#include <algorithm>
#include <string>

#include "google/rpc/error_details.pb.h"

#include "common/status/status.h"

namespace yagura::ingestion {

Status TenantCharges::Begin(std::string_view tenant) const {
  if (quotas_ == nullptr || tenant.empty()) return absl::OkStatus();
  const auto wait = std::max(quotas_->bytes.Take(tenant, 0), quotas_->calls.Take(tenant, 1));
  if (wait.count() == 0) return absl::OkStatus();
  return WithRetryDelay(MakeError(absl::StatusCode::kResourceExhausted, "QUOTA_EXCEEDED",
                                  "too much in a second for one tenant"),
                        wait);
}

void TenantCharges::Bytes(std::string_view tenant, uint64_t bytes) const {
  if (quotas_ == nullptr || tenant.empty()) return;
  quotas_->bytes.Charge(tenant, static_cast<double>(bytes));
}

std::optional<std::chrono::milliseconds> RetryDelayOf(const Status& status) {
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.RetryInfo");
  google::rpc::RetryInfo info;
  if (!payload || !info.ParseFromString(std::string(*payload))) return std::nullopt;
  return std::chrono::seconds(info.retry_delay().seconds()) +
         std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::nanoseconds(info.retry_delay().nanos()));
}

}  // namespace yagura::ingestion
