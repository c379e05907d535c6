#include "services/detection/api/finding_handlers.h"

#include "common/rpc/service_registry.h"
#include "common/rpc/standard_methods.h"
#include "common/status/status.h"

namespace yagura::detection {

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

absl::StatusOr<v1::Finding> FindingHandlers::Get(const rpc::Call&,
                                                 const v1::GetFindingRequest& request) const {
  YAGURA_ASSIGN_OR_RETURN(v1::Finding finding, findings_.Get(request.name()));
  surroundings_->Advise(finding, true);
  return finding;
}

absl::StatusOr<v1::ListFindingsResponse> FindingHandlers::List(
    const rpc::Call& call, const v1::ListFindingsRequest& request) const {
  auto page = rpc::ListPage(call, request, "create_time desc", findings_, all_tenants_);
  if (!page.ok()) return page.status();
  v1::ListFindingsResponse response;
  for (auto& finding : page->items) *response.add_findings() = std::move(finding);
  response.set_next_page_token(page->next_page_token);
  return response;
}

}  // namespace yagura::detection
