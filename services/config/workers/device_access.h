#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "services/config/drivers/driver.h"
#include "services/config/storage/stores.h"
#include "services/config/storage/vault.h"
#include "services/config/transport/device_session.h"

namespace yagura::config {

// From the inventory to the device: its address and secret, the first host key it shows, and its
// configuration as snapshots. Thread-safe.
class DeviceAccess {
 public:
  DeviceAccess(std::shared_ptr<Stores> stores, std::shared_ptr<Vault> vault,
               std::shared_ptr<DeviceConnector> connector, std::shared_ptr<const DriverSet> drivers,
               std::shared_ptr<const Clock> clock);

  // Where and how a change to the device would be applied, as the inventory has it now.
  absl::StatusOr<v1::ChangeTarget> ChangeTargetOf(const v1::Device& device) const;
  // The same with the credential's secret: what to connect to. FAILED_PRECONDITION (NO_CREDENTIAL).
  absl::StatusOr<DeviceTarget> Open(const v1::ChangeTarget& target) const;
  absl::StatusOr<const Driver*> DriverOf(const v1::Device& device) const;
  DeviceConnector& connector() const { return *connector_; }

  // Logs in and reads what the device runs. Pins the host key where the device asks for trust on
  // first use.
  absl::StatusOr<RunningConfiguration> ReadRunning(const v1::Device& device,
                                                   const Patience& patience);
  // Remembers that we spoke to the device, and its host key where that was to be trusted.
  absl::Status NoteContact(const v1::Device& device, const std::string& host_key_fingerprint);

  // Keeps a configuration as a new snapshot, sealed. `seed` has origin, creator and change.
  absl::StatusOr<v1::Snapshot> Keep(const store::WriteContext& context, const v1::Device& device,
                                    const RunningConfiguration& running, v1::Snapshot seed);

 private:
  const std::shared_ptr<Stores> stores_;
  const std::shared_ptr<Vault> vault_;
  const std::shared_ptr<DeviceConnector> connector_;
  const std::shared_ptr<const DriverSet> drivers_;
  const std::shared_ptr<const Clock> clock_;
};

}  // namespace yagura::config
