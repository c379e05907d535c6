#include "common/rpc/standard_methods.h"

#include "fmt/format.h"

#include "common/status/status.h"

namespace yagura::rpc {

store::TenantScope ScopeOf(const Call& call) {
  auth::TenantSet set = call.scope();
  return {.all = set.all, .tenants = std::move(set.tenants)};
}

absl::Status CheckEtag(std::string_view name, std::string_view wanted, std::string_view current) {
  if (wanted.empty() || wanted == current) return absl::OkStatus();
  return MakeError(absl::StatusCode::kAborted, "ETAG_MISMATCH",
                   fmt::format("{} has changed since it was read", name),
                   {{"resource", std::string(name)}, {"etag", std::string(current)}});
}

}  // namespace yagura::rpc
