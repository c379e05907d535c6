#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/rpc/streams.h"
#include "common/store/projection.h"
#include "services/detection/domain/surroundings.h"
#include "services/detection/storage/hunt_store.h"
#include "services/detection/workers/hunt_worker.h"
#include "services/detection/workers/rule_book.h"
#include "yagura/detection/v1/detection_service.pb.h"

namespace yagura::rpc {
class Call;
class ServiceRegistry;
}  // namespace yagura::rpc

namespace yagura::detection {

// The methods of DetectionService about hunts and their results. Thread-safe.
class HuntHandlers {
 public:
  struct Parts {
    std::shared_ptr<redis::Pool> state;
    std::shared_ptr<HuntStore> store;
    std::shared_ptr<store::FeedFollower> feed;
    std::shared_ptr<HuntWorker> worker;
    store::Store<v1::Rule> rules;
    std::shared_ptr<RuleBook> rule_book;
    std::shared_ptr<const Surroundings> surroundings;
    std::shared_ptr<const Clock> clock;
  };
  explicit HuntHandlers(Parts parts);
  void Register(rpc::ServiceRegistry& registry);

  absl::StatusOr<v1::Hunt> Create(const rpc::Call& call, const v1::CreateHuntRequest& request);
  absl::StatusOr<v1::Hunt> Get(const rpc::Call& call, const v1::GetHuntRequest& request) const;
  absl::StatusOr<v1::ListHuntsResponse> List(const rpc::Call& call,
                                             const v1::ListHuntsRequest& request) const;
  absl::StatusOr<std::shared_ptr<void>> Watch(const rpc::Call& call,
                                              const v1::WatchHuntRequest& request,
                                              const rpc::Outbox<v1::WatchHuntResponse>& outbox);
  absl::StatusOr<v1::Hunt> Cancel(const rpc::Call& call, const v1::CancelHuntRequest& request);
  absl::StatusOr<v1::DeleteHuntResponse> Delete(const rpc::Call& call,
                                                const v1::DeleteHuntRequest& request);
  absl::StatusOr<v1::HuntResult> GetResult(const rpc::Call& call,
                                           const v1::GetHuntResultRequest& request) const;
  absl::StatusOr<v1::ListHuntResultsResponse> ListResults(
      const rpc::Call& call, const v1::ListHuntResultsRequest& request) const;

 private:
  using Plan = internal::v1::HuntPlan;
  absl::Status CheckRoom(const std::string& parent) const;
  absl::Status SetRange(v1::Hunt& hunt) const;
  absl::Status TakeQuestion(const rpc::Call& call, v1::Hunt& hunt, Plan& plan) const;
  absl::Status TakeRule(const rpc::Call& call, v1::Hunt& hunt, Plan& plan,
                        std::vector<std::string>& cves) const;
  absl::Status TakeVulnerability(v1::Hunt& hunt) const;
  absl::StatusOr<std::vector<std::string>> TenantsOf(const rpc::Call& call,
                                                     const v1::CreateHuntRequest& request) const;
  absl::StatusOr<v1::ListHuntResultsResponse> ListResultsOfAll(
      const rpc::Call& call, const v1::ListHuntResultsRequest& request) const;

  const Parts parts_;
  store::Projection<v1::Hunt> all_tenants_;
};

}  // namespace yagura::detection
