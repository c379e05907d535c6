#include "services/directory/api/directory_api.h"
#include "services/directory/api/standard.h"
#include "services/directory/domain/validate.h"
#include "yagura/directory/v1/directory_service.pb.h"

namespace yagura::directory {
namespace {

using rpc::Call;

absl::Status Check(const Parts& parts, v1::Source& source) {
  YAGURA_RETURN_IF_ERROR(Normalize(source));
  return parts.store->CheckSites(*store::TenantOf(source.name()), SitesOf(source), "site");
}

absl::StatusOr<v1::Source> CreateSource(Parts& parts, const Call& call,
                                        const v1::CreateSourceRequest& request) {
  v1::Source source = request.source();
  YAGURA_ASSIGN_OR_RETURN(*source.mutable_name(), NewName(request.parent(), "sources",
                                                          request.source_id(), "source_id", true));
  YAGURA_RETURN_IF_ERROR(Check(parts, source));
  return parts.store->sources.store.Create(call.write_context(), std::move(source));
}

absl::StatusOr<v1::ListSourcesResponse> ListSources(Parts& parts, const Call& call,
                                                    const v1::ListSourcesRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(auto page,
                          ListPage(call, request, request.parent(), parts.store->sources));
  v1::ListSourcesResponse response;
  for (auto& item : page.items) *response.add_sources() = std::move(item);
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::Source> UpdateSource(Parts& parts, const Call& call,
                                        const v1::UpdateSourceRequest& request) {
  return UpdateMasked<v1::Source>(call, parts.store->sources.store, request.source(),
                                  request.update_mask(), {},
                                  [&parts](v1::Source& source) { return Check(parts, source); });
}

absl::StatusOr<v1::DeleteSourceResponse> DeleteSource(Parts& parts, const Call& call,
                                                      const v1::DeleteSourceRequest& request) {
  YAGURA_RETURN_IF_ERROR(
      parts.store->sources.store.Delete(call.write_context(), request.name(), request.etag()));
  return v1::DeleteSourceResponse();
}

}  // namespace

void RegisterSources(rpc::ServiceRegistry& registry, Parts& parts) {
  registry.Unary<v1::CreateSourceRequest, v1::Source>(
      Method("CreateSource"), [&parts](const Call& call, const v1::CreateSourceRequest& request) {
        return CreateSource(parts, call, request);
      });
  registry.Unary<v1::GetSourceRequest, v1::Source>(
      Method("GetSource"), [&parts](const Call&, const v1::GetSourceRequest& request) {
        return parts.store->sources.store.Get(request.name());
      });
  registry.Unary<v1::ListSourcesRequest, v1::ListSourcesResponse>(
      Method("ListSources"), [&parts](const Call& call, const v1::ListSourcesRequest& request) {
        return ListSources(parts, call, request);
      });
  registry.Unary<v1::UpdateSourceRequest, v1::Source>(
      Method("UpdateSource"), [&parts](const Call& call, const v1::UpdateSourceRequest& request) {
        return UpdateSource(parts, call, request);
      });
  registry.Unary<v1::DeleteSourceRequest, v1::DeleteSourceResponse>(
      Method("DeleteSource"), [&parts](const Call& call, const v1::DeleteSourceRequest& request) {
        return DeleteSource(parts, call, request);
      });
}

}  // namespace yagura::directory
