#include "services/notification/api/routes.h"

#include "fmt/format.h"
#include "google/protobuf/util/field_mask_util.h"

#include "common/store/resource_name.h"
#include "services/notification/api/resource_api.h"
#include "services/notification/domain/validate.h"

namespace yagura::notification {
namespace {

using google::protobuf::util::FieldMaskUtil;

constexpr const char* kChangeable[] = {"display_name", "min_severity", "rule_ids",
                                       "tags",         "sites",        "devices",
                                       "contacts",     "channels",     "disabled"};

absl::Status ApplyMask(const google::protobuf::FieldMask& mask, const v1::Route& from,
                       v1::Route& to) {
  if (mask.paths().empty()) return InvalidField("update_mask", "names no field");
  for (const std::string& path : mask.paths()) {
    if (std::find(std::begin(kChangeable), std::end(kChangeable), path) == std::end(kChangeable)) {
      return InvalidField("update_mask", fmt::format("\"{}\" cannot be changed", path));
    }
  }
  FieldMaskUtil::MergeOptions replace;
  replace.set_replace_repeated_fields(true);
  replace.set_replace_message_fields(true);
  FieldMaskUtil::MergeMessageTo(from, mask, replace, &to);
  return absl::OkStatus();
}

// The id in "tenants/{tenant}/...".
std::string TenantId(std::string_view name) {
  return std::string(store::TenantOf(name).value_or(""));
}

}  // namespace

RoutesApi::RoutesApi(Stores stores, const std::shared_ptr<store::FeedFollower>& feed)
    : stores_(std::move(stores)), all_(stores_.routes, feed) {}

absl::Status RoutesApi::CheckContacts(const v1::Route& route) const {
  for (const std::string& contact : route.contacts()) {
    YAGURA_RETURN_IF_ERROR(stores_.contacts.Get(contact).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Route> RoutesApi::Create(const rpc::Call& call,
                                            const v1::CreateRouteRequest& request) {
  v1::Route route = request.route();
  YAGURA_RETURN_IF_ERROR(ValidateRoute(route, call.tenant()));
  const std::string id = request.route_id().empty() ? store::NewUlid() : request.route_id();
  if (!store::IsValidId(id)) {
    return InvalidField("route_id", "must be lower-case letters, digits and hyphens");
  }
  YAGURA_RETURN_IF_ERROR(CheckContacts(route));
  route.set_name(fmt::format("{}/routes/{}", request.parent(), id));
  return stores_.routes.Create(call.write_context(), std::move(route));
}

absl::StatusOr<v1::Route> RoutesApi::Get(const rpc::Call& /*call*/,
                                         const v1::GetRouteRequest& request) const {
  return stores_.routes.Get(request.name());
}

absl::StatusOr<v1::ListRoutesResponse> RoutesApi::List(const rpc::Call& call,
                                                       const v1::ListRoutesRequest& request) const {
  YAGURA_ASSIGN_OR_RETURN(auto page, ListPage(call, request, "create_time", stores_.routes, all_));
  v1::ListRoutesResponse response;
  for (v1::Route& route : page.items) *response.add_routes() = std::move(route);
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::Route> RoutesApi::Update(const rpc::Call& call,
                                            const v1::UpdateRouteRequest& request) {
  const v1::Route& wanted = request.route();
  return stores_.routes.Mutate(
      call.write_context(), wanted.name(), [&](v1::Route& route) -> absl::Status {
        YAGURA_RETURN_IF_ERROR(CheckEtag(wanted.etag(), route));
        YAGURA_RETURN_IF_ERROR(ApplyMask(request.update_mask(), wanted, route));
        YAGURA_RETURN_IF_ERROR(ValidateRoute(route, TenantId(route.name())));
        return CheckContacts(route);
      });
}

absl::StatusOr<v1::DeleteRouteResponse> RoutesApi::Delete(const rpc::Call& call,
                                                          const v1::DeleteRouteRequest& request) {
  YAGURA_RETURN_IF_ERROR(
      stores_.routes.Delete(call.write_context(), request.name(), request.etag()));
  return v1::DeleteRouteResponse();
}

void RoutesApi::Register(rpc::ServiceRegistry& registry) {
  const std::string service = "/yagura.notification.v1.NotificationService/";
  registry.Unary<v1::CreateRouteRequest, v1::Route>(
      service + "CreateRoute", [this](const auto& call, const auto& r) { return Create(call, r); });
  registry.Unary<v1::GetRouteRequest, v1::Route>(
      service + "GetRoute", [this](const auto& call, const auto& r) { return Get(call, r); });
  registry.Unary<v1::ListRoutesRequest, v1::ListRoutesResponse>(
      service + "ListRoutes", [this](const auto& call, const auto& r) { return List(call, r); });
  registry.Unary<v1::UpdateRouteRequest, v1::Route>(
      service + "UpdateRoute", [this](const auto& call, const auto& r) { return Update(call, r); });
  registry.Unary<v1::DeleteRouteRequest, v1::DeleteRouteResponse>(
      service + "DeleteRoute", [this](const auto& call, const auto& r) { return Delete(call, r); });
}

}  // namespace yagura::notification
