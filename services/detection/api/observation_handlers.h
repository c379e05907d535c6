#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/rpc/call.h"
#include "common/store/store.h"
#include "services/detection/workers/observation_data.h"
#include "yagura/detection/v1/detection_service.pb.h"

namespace yagura::rpc {
class ServiceRegistry;
}

namespace yagura::detection {

// The methods of fixed-point observation. Thread-safe.
class ObservationHandlers {
 public:
  // Data with the rights of a call, for as long as that lasts.
  using DataOf = std::function<std::unique_ptr<const ObservationData>(const rpc::Call&)>;
  ObservationHandlers(store::Store<v1::ObservationPolicy> policies, DataOf data_of,
                      std::shared_ptr<const Clock> clock);
  void Register(rpc::ServiceRegistry& registry);

  absl::StatusOr<v1::GetObservationResponse> GetObservation(
      const rpc::Call& call, const v1::GetObservationRequest& request) const;
  absl::StatusOr<v1::ObservationPolicy> GetPolicy(
      const rpc::Call& call, const v1::GetObservationPolicyRequest& request) const;
  absl::StatusOr<v1::ObservationPolicy> UpdatePolicy(
      const rpc::Call& call, const v1::UpdateObservationPolicyRequest& request);

 private:
  store::Store<v1::ObservationPolicy> policies_;
  const DataOf data_of_;
  const std::shared_ptr<const Clock> clock_;
};

}  // namespace yagura::detection
