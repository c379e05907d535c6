#pragma once

#include <memory>

#include "common/clock/clock.h"
#include "common/rpc/service_registry.h"
#include "common/store/projection.h"
#include "services/notification/storage/stores.h"
#include "yagura/notification/v1/notification_service.pb.h"

namespace yagura::notification {

class AlertsApi {
 public:
  AlertsApi(Stores stores, const std::shared_ptr<store::FeedFollower>& feed,
            std::shared_ptr<const Clock> clock);
  // The object must outlive the registry's use of it.
  void Register(rpc::ServiceRegistry& registry);

  absl::StatusOr<v1::Alert> Get(const rpc::Call& call, const v1::GetAlertRequest& request) const;
  absl::StatusOr<v1::ListAlertsResponse> List(const rpc::Call& call,
                                              const v1::ListAlertsRequest& request) const;
  absl::StatusOr<v1::Alert> Acknowledge(const rpc::Call& call,
                                        const v1::AcknowledgeAlertRequest& request);
  absl::StatusOr<v1::Alert> Resolve(const rpc::Call& call, const v1::ResolveAlertRequest& request);
  absl::StatusOr<std::shared_ptr<void>> Watch(const rpc::Call& call,
                                              const v1::WatchAlertsRequest& request,
                                              const rpc::Outbox<v1::WatchAlertsResponse>& outbox);

 private:
  absl::Status CancelDeliveries(const rpc::Call& call, const v1::Alert& alert);

  Stores stores_;
  std::shared_ptr<const Clock> clock_;
  store::Projection<v1::Alert> all_;
};

}  // namespace yagura::notification
