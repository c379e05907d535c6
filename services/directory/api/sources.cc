#include "services/directory/api/directory_api.h"
#include "services/directory/api/standard.h"
#include "services/directory/domain/grants.h"
#include "services/directory/domain/validate.h"
#include "yagura/directory/v1/directory_service.pb.h"

namespace yagura::directory {
namespace {

using rpc::Call;

// Lines that reach a shared listener are anybody's until a source claims them. Who acts for some
// customers alone can claim what their own credentials push, and nothing else: a serial number or a
// network that belongs to another customer would take that customer's logs.
absl::Status CheckClaim(const Call& call, const v1::Source& source) {
  const auto owner = store::TenantOf(source.match().credential());
  if (call.principal().TenantsFor("directory.sources.create").all) return absl::OkStatus();
  if (owner && *owner == *store::TenantOf(source.name())) return absl::OkStatus();
  return MakeError(absl::StatusCode::kPermissionDenied, "CLAIM_OF_SHARED_LINES",
                   "a source that takes other lines than those pushed with a credential of its "
                   "tenant can only be set by staff of all tenants");
}

absl::Status CheckCredential(const v1::Source& source) {
  const auto owner = store::TenantOf(source.match().credential());
  if (!owner || *owner == *store::TenantOf(source.name()) || *owner == kProvider) {
    return absl::OkStatus();
  }
  return InvalidField("source.match.credential", "must be one of the tenant or of the provider");
}

constexpr std::string_view kRelayListener = "relay";

// Two customers cannot have the same lines, but for those of relays: each is one tenant's, whose
// sources alone are asked, so that two customers may have the same addresses and serial numbers.
// Seen through the projection: of two that are made within the same moment, ingestion says that
// they clash.
absl::Status CheckOtherTenants(const Parts& parts, const v1::Source& source) {
  if (source.disabled() || source.match().listener() == kRelayListener) return absl::OkStatus();
  const std::string match = source.match().SerializeAsString();
  const std::string_view tenant = *store::TenantOf(source.name());
  store::ListQuery query{.parent = "tenants/-", .page_size = 1000};
  do {
    YAGURA_ASSIGN_OR_RETURN(const auto page, parts.store->sources.everywhere.List(
                                                 query, store::TenantScope{.all = true}));
    for (const v1::Source& other : page.items) {
      if (other.disabled() || *store::TenantOf(other.name()) == tenant) continue;
      if (other.match().SerializeAsString() != match) continue;
      return MakeError(absl::StatusCode::kFailedPrecondition, "LINES_ALREADY_CLAIMED",
                       "a source of another tenant has the same criteria");
    }
    query.page_token = page.next_page_token;
  } while (!query.page_token.empty());
  return absl::OkStatus();
}

// What it takes of the shared lines changes from `before`; null: from nothing.
absl::Status CheckLines(const Parts& parts, const Call& call, const v1::Source* before,
                        const v1::Source& source) {
  if (before != nullptr) {
    const bool same = before->disabled() == source.disabled() &&
                      before->match().SerializeAsString() == source.match().SerializeAsString();
    if (same) return absl::OkStatus();
    YAGURA_RETURN_IF_ERROR(CheckClaim(call, *before));
  }
  YAGURA_RETURN_IF_ERROR(CheckCredential(source));
  YAGURA_RETURN_IF_ERROR(CheckClaim(call, source));
  return CheckOtherTenants(parts, source);
}

absl::Status CheckSite(const Parts& parts, const v1::Source& source) {
  return parts.store->CheckSites(*store::TenantOf(source.name()), SitesOf(source), "site");
}

absl::StatusOr<v1::Source> CreateSource(Parts& parts, const Call& call,
                                        const v1::CreateSourceRequest& request) {
  v1::Source source = request.source();
  YAGURA_ASSIGN_OR_RETURN(*source.mutable_name(), NewName(request.parent(), "sources",
                                                          request.source_id(), "source_id", true));
  YAGURA_RETURN_IF_ERROR(Normalize(source));
  YAGURA_RETURN_IF_ERROR(CheckLines(parts, call, nullptr, source));
  YAGURA_RETURN_IF_ERROR(CheckSite(parts, source));
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
  const v1::Source& change = request.source();
  return parts.store->sources.store.Mutate(
      call.write_context(), change.name(), [&](v1::Source& source) -> absl::Status {
        const v1::Source before = source;
        YAGURA_RETURN_IF_ERROR(CheckEtag(change.etag(), source));
        YAGURA_RETURN_IF_ERROR(ApplyMask(change, request.update_mask(), {}, source));
        YAGURA_RETURN_IF_ERROR(Normalize(source));
        YAGURA_RETURN_IF_ERROR(CheckLines(parts, call, &before, source));
        return CheckSite(parts, source);
      });
}

absl::StatusOr<v1::DeleteSourceResponse> DeleteSource(Parts& parts, const Call& call,
                                                      const v1::DeleteSourceRequest& request) {
  const auto source = parts.store->sources.store.Get(request.name());
  if (source.ok()) YAGURA_RETURN_IF_ERROR(CheckClaim(call, *source));
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
