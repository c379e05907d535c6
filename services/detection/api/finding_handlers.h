#pragma once

#include <memory>

#include "absl/status/statusor.h"

#include "common/store/projection.h"
#include "common/store/store.h"
#include "services/detection/domain/surroundings.h"
#include "yagura/detection/v1/detection_service.pb.h"

namespace yagura::rpc {
class Call;
class ServiceRegistry;
}  // namespace yagura::rpc

namespace yagura::detection {

// GetFinding and ListFindings. Thread-safe.
class FindingHandlers {
 public:
  FindingHandlers(store::Store<v1::Finding> findings, std::shared_ptr<store::FeedFollower> feed,
                  std::shared_ptr<const Surroundings> surroundings);
  void Register(rpc::ServiceRegistry& registry);

  absl::StatusOr<v1::Finding> Get(const rpc::Call& call,
                                  const v1::GetFindingRequest& request) const;
  absl::StatusOr<v1::ListFindingsResponse> List(const rpc::Call& call,
                                                const v1::ListFindingsRequest& request) const;

 private:
  store::Store<v1::Finding> findings_;
  store::Projection<v1::Finding> all_tenants_;
  const std::shared_ptr<const Surroundings> surroundings_;
};

}  // namespace yagura::detection
