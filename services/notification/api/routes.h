#pragma once

#include <memory>

#include "common/rpc/service_registry.h"
#include "common/store/projection.h"
#include "services/notification/storage/stores.h"
#include "yagura/notification/v1/notification_service.pb.h"

namespace yagura::notification {

class RoutesApi {
 public:
  RoutesApi(Stores stores, const std::shared_ptr<store::FeedFollower>& feed);
  // The object must outlive the registry's use of it.
  void Register(rpc::ServiceRegistry& registry);

  absl::StatusOr<v1::Route> Create(const rpc::Call& call, const v1::CreateRouteRequest& request);
  absl::StatusOr<v1::Route> Get(const rpc::Call& call, const v1::GetRouteRequest& request) const;
  absl::StatusOr<v1::ListRoutesResponse> List(const rpc::Call& call,
                                              const v1::ListRoutesRequest& request) const;
  absl::StatusOr<v1::Route> Update(const rpc::Call& call, const v1::UpdateRouteRequest& request);
  absl::StatusOr<v1::DeleteRouteResponse> Delete(const rpc::Call& call,
                                                 const v1::DeleteRouteRequest& request);

 private:
  absl::Status CheckContacts(const v1::Route& route) const;

  Stores stores_;
  store::Projection<v1::Route> all_;
};

}  // namespace yagura::notification
