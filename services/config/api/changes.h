#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/rpc/call.h"
#include "common/store/projection.h"
#include "services/config/domain/change_machine.h"
#include "services/config/storage/stores.h"
#include "services/config/storage/vault.h"
#include "services/config/workers/apply_worker.h"
#include "yagura/config/v1/config_service.pb.h"

namespace yagura::config {

// Change requests. Thread-safe.
class ChangeHandlers {
 public:
  ChangeHandlers(std::shared_ptr<Stores> stores,
                 std::shared_ptr<const store::Projection<v1::Change>> all,
                 std::shared_ptr<Vault> vault, std::shared_ptr<const DriverSet> drivers,
                 std::shared_ptr<const DeviceAccess> access, std::shared_ptr<ApplyWorker> worker,
                 std::shared_ptr<const Clock> clock);

  absl::StatusOr<v1::Change> Create(const rpc::Call& call, const v1::CreateChangeRequest& request);
  absl::StatusOr<v1::Change> Get(const rpc::Call& call, const v1::GetChangeRequest& request);
  absl::StatusOr<v1::ListChangesResponse> List(const rpc::Call& call,
                                               const v1::ListChangesRequest& request);
  absl::StatusOr<v1::Change> Update(const rpc::Call& call, const v1::UpdateChangeRequest& request);
  absl::StatusOr<v1::Change> Submit(const rpc::Call& call, const v1::SubmitChangeRequest& request);
  absl::StatusOr<v1::Change> Approve(const rpc::Call& call,
                                     const v1::ApproveChangeRequest& request);
  absl::StatusOr<v1::Change> Reject(const rpc::Call& call, const v1::RejectChangeRequest& request);
  absl::StatusOr<v1::Change> Apply(const rpc::Call& call, const v1::ApplyChangeRequest& request);
  absl::StatusOr<v1::Change> Cancel(const rpc::Call& call, const v1::CancelChangeRequest& request);

 private:
  using MoveFn = std::function<absl::Status(v1::Change&, const Step&)>;
  absl::StatusOr<v1::Change> Move(const rpc::Call& call, const std::string& name,
                                  const std::string& etag, const std::string& comment,
                                  const MoveFn& move);
  Step StepOf(const rpc::Call& call, const std::string& comment) const;

  // Where and how the change would be applied, as the inventory has it now.
  absl::StatusOr<v1::ChangeTarget> TargetNow(const v1::Change& change) const;
  // The candidate's full text, secrets put back.
  absl::StatusOr<std::string> Resolve(const v1::Candidate& candidate, const v1::Change& change,
                                      const std::string& platform) const;
  absl::StatusOr<std::string> Diff(const v1::Change& change) const;
  absl::StatusOr<v1::Change> WithDiff(v1::Change change) const;
  absl::Status TakeDevice(const rpc::Call& call, const v1::Change& change);
  void FreeDevice(const v1::Change& change);

  const std::shared_ptr<Stores> stores_;
  const std::shared_ptr<const store::Projection<v1::Change>> all_;
  const std::shared_ptr<Vault> vault_;
  const std::shared_ptr<const DriverSet> drivers_;
  const std::shared_ptr<const DeviceAccess> access_;
  const std::shared_ptr<ApplyWorker> worker_;
  const std::shared_ptr<const Clock> clock_;
};

}  // namespace yagura::config
