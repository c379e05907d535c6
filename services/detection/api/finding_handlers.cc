#include "services/detection/api/finding_handlers.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/clock/clock.h"
#include "common/filter/filter.h"
#include "common/rpc/service_registry.h"
#include "common/rpc/standard_methods.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::detection {
namespace {

// Findings of rules on trial or muted are the provider's own business: roles of customers do not
// have these permissions. In a list over many tenants, all of them must allow it.
bool MaySeeUntold(const rpc::Call& call, std::string_view permission) {
  if (!call.all_tenants()) return call.principal().Allows(permission, call.tenant());
  const auth::TenantSet scope = call.scope();
  const auth::TenantSet allowed = call.principal().TenantsFor(permission);
  return allowed.all || (!scope.all && std::ranges::all_of(scope.tenants, [&](const auto& tenant) {
           return allowed.Contains(tenant);
         }));
}

}  // namespace

FindingHandlers::FindingHandlers(store::Store<v1::Finding> findings,
                                 std::shared_ptr<store::FeedFollower> feed,
                                 std::shared_ptr<const Surroundings> surroundings)
    : findings_(std::move(findings)),
      all_tenants_(findings_, std::move(feed)),
      surroundings_(std::move(surroundings)) {}

void FindingHandlers::Register(rpc::ServiceRegistry& registry) {
  registry.Unary<v1::GetFindingRequest, v1::Finding>(
      "/yagura.detection.v1.DetectionService/GetFinding",
      [this](const auto& call, const auto& request) { return Get(call, request); });
  registry.Unary<v1::ListFindingsRequest, v1::ListFindingsResponse>(
      "/yagura.detection.v1.DetectionService/ListFindings",
      [this](const auto& call, const auto& request) { return List(call, request); });
}

absl::StatusOr<v1::Finding> FindingHandlers::Get(const rpc::Call& call,
                                                 const v1::GetFindingRequest& request) const {
  YAGURA_ASSIGN_OR_RETURN(v1::Finding finding, findings_.Get(request.name()));
  if (finding.untold() && !MaySeeUntold(call, "detection.untold_findings.get")) {
    return NotFound(request.name());
  }
  surroundings_->Advise(finding, true);
  return finding;
}

absl::StatusOr<v1::ListFindingsResponse> FindingHandlers::List(
    const rpc::Call& call, const v1::ListFindingsRequest& request) const {
  store::ListQuery query = rpc::QueryOf(request, "create_time desc");
  if (!MaySeeUntold(call, "detection.untold_findings.list")) {
    constexpr std::string_view kTold = "NOT untold = true";
    // Alone first: what is no whole filter could get out of the parentheses.
    YAGURA_RETURN_IF_ERROR(filter::Filter::Parse(query.filter,
                                                 filter::Schema(v1::Finding::descriptor()),
                                                 SystemClock()->Now())
                               .status());
    query.filter = Trim(query.filter).empty() ? std::string(kTold)
                                              : fmt::format("({}) AND {}", query.filter, kTold);
  }
  auto page = rpc::ListPage(call, query, findings_, all_tenants_);
  if (!page.ok()) return page.status();
  v1::ListFindingsResponse response;
  for (auto& finding : page->items) *response.add_findings() = std::move(finding);
  response.set_next_page_token(page->next_page_token);
  return response;
}

}  // namespace yagura::detection
