#include "services/notification/api/deliveries.h"

#include "services/notification/api/resource_api.h"

namespace yagura::notification {

DeliveriesApi::DeliveriesApi(Stores stores, const std::shared_ptr<store::FeedFollower>& feed)
    : stores_(std::move(stores)), all_(stores_.deliveries, feed) {}

absl::StatusOr<v1::Delivery> DeliveriesApi::Get(const rpc::Call& /*call*/,
                                                const v1::GetDeliveryRequest& request) const {
  return stores_.deliveries.Get(request.name());
}

absl::StatusOr<v1::ListDeliveriesResponse> DeliveriesApi::List(
    const rpc::Call& call, const v1::ListDeliveriesRequest& request) const {
  YAGURA_ASSIGN_OR_RETURN(auto page,
                          ListPage(call, request, "create_time desc", stores_.deliveries, all_));
  v1::ListDeliveriesResponse response;
  for (v1::Delivery& delivery : page.items) {
    delivery.clear_body();
    *response.add_deliveries() = std::move(delivery);
  }
  response.set_next_page_token(page.next_page_token);
  return response;
}

void DeliveriesApi::Register(rpc::ServiceRegistry& registry) {
  const std::string service = "/yagura.notification.v1.NotificationService/";
  registry.Unary<v1::GetDeliveryRequest, v1::Delivery>(
      service + "GetDelivery", [this](const auto& call, const auto& r) { return Get(call, r); });
  registry.Unary<v1::ListDeliveriesRequest, v1::ListDeliveriesResponse>(
      service + "ListDeliveries",
      [this](const auto& call, const auto& r) { return List(call, r); });
}

}  // namespace yagura::notification
