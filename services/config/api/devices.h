#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "google/protobuf/empty.pb.h"

#include "common/rpc/call.h"
#include "common/store/projection.h"
#include "services/config/drivers/driver.h"
#include "services/config/storage/stores.h"
#include "yagura/config/v1/config_service.pb.h"

namespace yagura::config {

// The inventory. Thread-safe.
class DeviceHandlers {
 public:
  DeviceHandlers(std::shared_ptr<Stores> stores,
                 std::shared_ptr<const store::Projection<v1::Device>> all,
                 std::shared_ptr<const DriverSet> drivers);

  absl::StatusOr<v1::Device> Create(const rpc::Call& call, const v1::CreateDeviceRequest& request);
  absl::StatusOr<v1::Device> Get(const rpc::Call& call, const v1::GetDeviceRequest& request);
  absl::StatusOr<v1::ListDevicesResponse> List(const rpc::Call& call,
                                               const v1::ListDevicesRequest& request);
  absl::StatusOr<v1::Device> Update(const rpc::Call& call, const v1::UpdateDeviceRequest& request);
  absl::StatusOr<google::protobuf::Empty> Delete(const rpc::Call& call,
                                                 const v1::DeleteDeviceRequest& request);

 private:
  absl::Status Check(const v1::Device& device) const;
  absl::Status CheckIdle(const v1::Device& device) const;

  const std::shared_ptr<Stores> stores_;
  const std::shared_ptr<const store::Projection<v1::Device>> all_;
  const std::shared_ptr<const DriverSet> drivers_;
};

// Whether the device is taken by a change that is being applied now.
absl::StatusOr<bool> IsBusy(const Stores& stores, const v1::Device& device);

}  // namespace yagura::config
