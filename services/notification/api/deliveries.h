#pragma once

#include <memory>

#include "common/rpc/service_registry.h"
#include "common/store/projection.h"
#include "services/notification/storage/stores.h"
#include "yagura/notification/v1/notification_service.pb.h"

namespace yagura::notification {

class DeliveriesApi {
 public:
  DeliveriesApi(Stores stores, const std::shared_ptr<store::FeedFollower>& feed);
  // The object must outlive the registry's use of it.
  void Register(rpc::ServiceRegistry& registry);

  absl::StatusOr<v1::Delivery> Get(const rpc::Call& call,
                                   const v1::GetDeliveryRequest& request) const;
  absl::StatusOr<v1::ListDeliveriesResponse> List(const rpc::Call& call,
                                                  const v1::ListDeliveriesRequest& request) const;

 private:
  Stores stores_;
  store::Projection<v1::Delivery> all_;
};

}  // namespace yagura::notification
