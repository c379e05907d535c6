#include "services/notification/api/alerts.h"

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/filter/filter.h"
#include "services/notification/api/resource_api.h"
#include "services/notification/domain/delivery.h"
#include "services/notification/domain/validate.h"

namespace yagura::notification {
namespace {

absl::Status WrongState(const v1::Alert& alert) {
  const std::string& by =
      alert.state() == v1::RESOLVED ? alert.resolved_by() : alert.acknowledged_by();
  const std::string state = v1::AlertState_Name(alert.state());
  return MakeError(absl::StatusCode::kFailedPrecondition, "ALERT_STATE",
                   fmt::format("the alert is {} by {}", state, by),
                   {{"resource", alert.name()}, {"state", state}, {"by", by}});
}

}  // namespace

AlertsApi::AlertsApi(Stores stores, const std::shared_ptr<store::FeedFollower>& feed,
                     std::shared_ptr<const Clock> clock)
    : stores_(std::move(stores)), clock_(std::move(clock)), all_(stores_.alerts, feed) {}

absl::StatusOr<v1::Alert> AlertsApi::Get(const rpc::Call& /*call*/,
                                         const v1::GetAlertRequest& request) const {
  return stores_.alerts.Get(request.name());
}

absl::StatusOr<v1::ListAlertsResponse> AlertsApi::List(const rpc::Call& call,
                                                       const v1::ListAlertsRequest& request) const {
  YAGURA_ASSIGN_OR_RETURN(auto page,
                          ListPage(call, request, "create_time desc", stores_.alerts, all_));
  v1::ListAlertsResponse response;
  for (v1::Alert& alert : page.items) *response.add_alerts() = std::move(alert);
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::Alert> AlertsApi::Acknowledge(const rpc::Call& call,
                                                 const v1::AcknowledgeAlertRequest& request) {
  YAGURA_RETURN_IF_ERROR(ValidateComment(request.comment()));
  return stores_.alerts.Mutate(call.write_context(), request.name(),
                               [&](v1::Alert& alert) -> absl::Status {
                                 YAGURA_RETURN_IF_ERROR(CheckEtag(request.etag(), alert));
                                 if (alert.state() != v1::OPEN) return WrongState(alert);
                                 alert.set_state(v1::ACKNOWLEDGED);
                                 alert.set_acknowledged_by(call.principal().name);
                                 alert.set_acknowledge_comment(request.comment());
                                 *alert.mutable_acknowledge_time() = ToProto(clock_->Now());
                                 return absl::OkStatus();
                               });
}

absl::StatusOr<v1::Alert> AlertsApi::Resolve(const rpc::Call& call,
                                             const v1::ResolveAlertRequest& request) {
  YAGURA_RETURN_IF_ERROR(ValidateComment(request.comment()));
  YAGURA_ASSIGN_OR_RETURN(
      v1::Alert resolved,
      stores_.alerts.Mutate(call.write_context(), request.name(),
                            [&](v1::Alert& alert) -> absl::Status {
                              YAGURA_RETURN_IF_ERROR(CheckEtag(request.etag(), alert));
                              if (alert.state() == v1::RESOLVED) return WrongState(alert);
                              alert.set_state(v1::RESOLVED);
                              alert.set_resolved_by(call.principal().name);
                              alert.set_resolve_comment(request.comment());
                              *alert.mutable_resolve_time() = ToProto(clock_->Now());
                              return absl::OkStatus();
                            }));
  // What is missed here is cancelled when its next attempt is due.
  CancelDeliveries(call, resolved).IgnoreError();
  return resolved;
}

absl::Status AlertsApi::CancelDeliveries(const rpc::Call& call, const v1::Alert& alert) {
  store::ListQuery query;
  query.parent = "tenants/" + call.tenant();
  query.filter = fmt::format("alert = \"{}\" AND state = PENDING", alert.name());
  query.order_by = "create_time";
  query.page_size = 1000;
  YAGURA_ASSIGN_OR_RETURN(const auto page, stores_.deliveries.List(query));
  store::WriteContext context = call.write_context();
  context.request_id.clear();  // belongs to the alert's own write
  for (const v1::Delivery& waiting : page.items) {
    const auto cancelled = stores_.deliveries.Mutate(
        context, waiting.name(), [this](v1::Delivery& delivery) -> absl::Status {
          if (delivery.state() == v1::PENDING) {
            Cancel(delivery, "the alert is resolved", clock_->Now());
          }
          return absl::OkStatus();
        });
    YAGURA_RETURN_IF_ERROR(cancelled.status());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<void>> AlertsApi::Watch(
    const rpc::Call& call, const v1::WatchAlertsRequest& request,
    const rpc::Outbox<v1::WatchAlertsResponse>& outbox) {
  YAGURA_ASSIGN_OR_RETURN(
      const filter::Filter filter,
      filter::Filter::Parse(request.filter(), filter::Schema(v1::Alert::descriptor()),
                            clock_->Now()));
  auto watch =
      all_.Watch(ScopeOf(call), [filter, outbox](const audit::v1::Record&, const v1::Alert* alert) {
        if (alert == nullptr || !filter.Matches(*alert)) return;
        v1::WatchAlertsResponse response;
        *response.mutable_alert() = *alert;
        outbox.Push(std::move(response));
      });
  outbox.Push(v1::WatchAlertsResponse());
  return watch;
}

void AlertsApi::Register(rpc::ServiceRegistry& registry) {
  const std::string service = "/yagura.notification.v1.NotificationService/";
  registry.Unary<v1::GetAlertRequest, v1::Alert>(
      service + "GetAlert", [this](const auto& call, const auto& r) { return Get(call, r); });
  registry.Unary<v1::ListAlertsRequest, v1::ListAlertsResponse>(
      service + "ListAlerts", [this](const auto& call, const auto& r) { return List(call, r); });
  registry.Unary<v1::AcknowledgeAlertRequest, v1::Alert>(
      service + "AcknowledgeAlert",
      [this](const auto& call, const auto& r) { return Acknowledge(call, r); });
  registry.Unary<v1::ResolveAlertRequest, v1::Alert>(
      service + "ResolveAlert",
      [this](const auto& call, const auto& r) { return Resolve(call, r); });
  registry.Watch<v1::WatchAlertsRequest, v1::WatchAlertsResponse>(
      service + "WatchAlerts",
      [this](const auto& call, const auto& r, auto outbox) { return Watch(call, r, outbox); });
}

}  // namespace yagura::notification
