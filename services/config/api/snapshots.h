#pragma once

#include <atomic>
#include <chrono>
#include <memory>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/rpc/call.h"
#include "services/config/storage/stores.h"
#include "services/config/storage/vault.h"
#include "services/config/workers/device_access.h"
#include "yagura/config/v1/config_service.pb.h"

namespace yagura::config {

// Snapshots: taken over SSH, shown without their secrets. Thread-safe.
class SnapshotHandlers {
 public:
  // At most `max_reading` devices are read at once; one for `timeout` at most.
  SnapshotHandlers(std::shared_ptr<Stores> stores, std::shared_ptr<Vault> vault,
                   std::shared_ptr<DeviceAccess> access, std::shared_ptr<const Clock> clock,
                   int max_reading, std::chrono::milliseconds timeout);

  absl::StatusOr<v1::Snapshot> Take(const rpc::Call& call, const v1::TakeSnapshotRequest& request);
  absl::StatusOr<v1::Snapshot> Get(const rpc::Call& call, const v1::GetSnapshotRequest& request);
  absl::StatusOr<v1::ListSnapshotsResponse> List(const rpc::Call& call,
                                                 const v1::ListSnapshotsRequest& request);
  absl::StatusOr<v1::DiffSnapshotsResponse> Diff(const rpc::Call& call,
                                                 const v1::DiffSnapshotsRequest& request);
  absl::StatusOr<v1::RevealSnapshotResponse> Reveal(const rpc::Call& call,
                                                    const v1::RevealSnapshotRequest& request);

 private:
  absl::StatusOr<std::string> ScrubbedText(const std::string& snapshot) const;

  const std::shared_ptr<Stores> stores_;
  const std::shared_ptr<Vault> vault_;
  const std::shared_ptr<DeviceAccess> access_;
  const std::shared_ptr<const Clock> clock_;
  const int max_reading_;
  const std::chrono::milliseconds timeout_;
  std::atomic<int> reading_{0};
};

}  // namespace yagura::config
