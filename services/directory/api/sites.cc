#include "services/directory/api/directory_api.h"
#include "services/directory/api/standard.h"
#include "services/directory/domain/validate.h"
#include "yagura/directory/v1/directory_service.pb.h"

namespace yagura::directory {
namespace {

using rpc::Call;

absl::StatusOr<v1::Site> CreateSite(Parts& parts, const Call& call,
                                    const v1::CreateSiteRequest& request) {
  v1::Site site = request.site();
  YAGURA_ASSIGN_OR_RETURN(*site.mutable_name(),
                          NewName(request.parent(), "sites", request.site_id(), "site_id", false));
  YAGURA_RETURN_IF_ERROR(Normalize(site));
  return parts.store->sites.store.Create(call.write_context(), std::move(site));
}

absl::StatusOr<v1::ListSitesResponse> ListSites(Parts& parts, const Call& call,
                                                const v1::ListSitesRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(auto page, ListPage(call, request, request.parent(), parts.store->sites));
  v1::ListSitesResponse response;
  for (auto& item : page.items) *response.add_sites() = std::move(item);
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::Site> UpdateSite(Parts& parts, const Call& call,
                                    const v1::UpdateSiteRequest& request) {
  return UpdateMasked<v1::Site>(call, parts.store->sites.store, request.site(),
                                request.update_mask(), {},
                                [](v1::Site& site) { return Normalize(site); });
}

absl::Status CheckUnused(Parts& parts, const Call& call, std::string_view name) {
  const auto query = [&](std::string_view field, std::string_view has) {
    return store::ListQuery{.parent = fmt::format("tenants/{}", call.tenant()),
                            .filter = fmt::format("{}{}\"{}\"", field, has, store::LastId(name)),
                            .order_by = "",
                            .page_size = 1,
                            .page_token = ""};
  };
  YAGURA_ASSIGN_OR_RETURN(const auto assets,
                          parts.store->assets.store.List(query("addresses.site", ":")));
  YAGURA_ASSIGN_OR_RETURN(const auto sources,
                          parts.store->sources.store.List(query("site", " = ")));
  if (assets.items.empty() && sources.items.empty()) return absl::OkStatus();
  const std::string& user =
      assets.items.empty() ? sources.items.front().name() : assets.items.front().name();
  return MakeError(absl::StatusCode::kFailedPrecondition, "SITE_IN_USE",
                   fmt::format("{} refers to the site", user), {{"resource", user}});
}

absl::StatusOr<v1::DeleteSiteResponse> DeleteSite(Parts& parts, const Call& call,
                                                  const v1::DeleteSiteRequest& request) {
  YAGURA_RETURN_IF_ERROR(CheckUnused(parts, call, request.name()));
  YAGURA_RETURN_IF_ERROR(
      parts.store->sites.store.Delete(call.write_context(), request.name(), request.etag()));
  return v1::DeleteSiteResponse();
}

}  // namespace

void RegisterSites(rpc::ServiceRegistry& registry, Parts& parts) {
  registry.Unary<v1::CreateSiteRequest, v1::Site>(
      Method("CreateSite"), [&parts](const Call& call, const v1::CreateSiteRequest& request) {
        return CreateSite(parts, call, request);
      });
  registry.Unary<v1::GetSiteRequest, v1::Site>(
      Method("GetSite"), [&parts](const Call&, const v1::GetSiteRequest& request) {
        return parts.store->sites.store.Get(request.name());
      });
  registry.Unary<v1::ListSitesRequest, v1::ListSitesResponse>(
      Method("ListSites"), [&parts](const Call& call, const v1::ListSitesRequest& request) {
        return ListSites(parts, call, request);
      });
  registry.Unary<v1::UpdateSiteRequest, v1::Site>(
      Method("UpdateSite"), [&parts](const Call& call, const v1::UpdateSiteRequest& request) {
        return UpdateSite(parts, call, request);
      });
  registry.Unary<v1::DeleteSiteRequest, v1::DeleteSiteResponse>(
      Method("DeleteSite"), [&parts](const Call& call, const v1::DeleteSiteRequest& request) {
        return DeleteSite(parts, call, request);
      });
}

}  // namespace yagura::directory
