#include "services/directory/api/directory_api.h"
#include "services/directory/api/standard.h"
#include "services/directory/domain/grants.h"
#include "services/directory/domain/validate.h"
#include "yagura/directory/v1/directory_service.pb.h"

namespace yagura::directory {
namespace {

using rpc::Call;

absl::StatusOr<v1::Tenant> CreateTenant(Parts& parts, const Call& call,
                                        const v1::CreateTenantRequest& request) {
  if (!call.principal().TenantsFor("directory.tenants.create").all) {
    return MakeError(absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED",
                     "the permission directory.tenants.create is needed over all tenants");
  }
  v1::Tenant tenant = request.tenant();
  if (!store::IsValidId(request.tenant_id())) {
    return InvalidField("tenant_id",
                        "must be 1 to 63 lower-case letters, digits and inner hyphens");
  }
  tenant.set_name("tenants/" + request.tenant_id());
  YAGURA_RETURN_IF_ERROR(Normalize(tenant));
  return parts.store->tenants.store.Create(call.write_context(), std::move(tenant));
}

absl::StatusOr<v1::ListTenantsResponse> ListTenants(Parts& parts, const Call& call,
                                                    const v1::ListTenantsRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(auto page, ListPage(call, request, "", parts.store->tenants));
  v1::ListTenantsResponse response;
  for (auto& tenant : page.items) *response.add_tenants() = std::move(tenant);
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::Tenant> UpdateTenant(Parts& parts, const Call& call,
                                        const v1::UpdateTenantRequest& request) {
  const std::string_view id = store::LastId(request.tenant().name());
  const bool reserved = id == kProvider || id == kQuarantine;
  return UpdateMasked<v1::Tenant>(
      call, parts.store->tenants.store, request.tenant(), request.update_mask(), {},
      [reserved](v1::Tenant& tenant) -> absl::Status {
        if (reserved && tenant.state() == v1::TENANT_SUSPENDED) {
          return MakeError(absl::StatusCode::kFailedPrecondition, "TENANT_RESERVED",
                           "this tenant cannot be suspended");
        }
        return Normalize(tenant);
      });
}

}  // namespace

void RegisterTenants(rpc::ServiceRegistry& registry, Parts& parts) {
  registry.Unary<v1::CreateTenantRequest, v1::Tenant>(
      Method("CreateTenant"), [&parts](const Call& call, const v1::CreateTenantRequest& request) {
        return CreateTenant(parts, call, request);
      });
  registry.Unary<v1::GetTenantRequest, v1::Tenant>(
      Method("GetTenant"), [&parts](const Call&, const v1::GetTenantRequest& request) {
        return parts.store->tenants.store.Get(request.name());
      });
  registry.Unary<v1::ListTenantsRequest, v1::ListTenantsResponse>(
      Method("ListTenants"), [&parts](const Call& call, const v1::ListTenantsRequest& request) {
        return ListTenants(parts, call, request);
      });
  registry.Unary<v1::UpdateTenantRequest, v1::Tenant>(
      Method("UpdateTenant"), [&parts](const Call& call, const v1::UpdateTenantRequest& request) {
        return UpdateTenant(parts, call, request);
      });
}

}  // namespace yagura::directory
