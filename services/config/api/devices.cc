#include "services/config/api/devices.h"

#include "fmt/format.h"
#include "google/protobuf/util/field_mask_util.h"

#include "common/status/status.h"
#include "services/config/api/common.h"
#include "services/config/domain/validate.h"

namespace yagura::config {
namespace {

using google::protobuf::FieldMask;
using google::protobuf::util::FieldMaskUtil;

constexpr const char* kWritable =
    "display_name,address,port,host_key_fingerprints,trust_host_key_on_first_use,credential,site,"
    "serial,virtual_contexts,startup_path,notes";

// What a caller may say of a device.
v1::Device Writable(const v1::Device& given) {
  v1::Device device = given;
  device.clear_name();
  device.clear_etag();
  device.clear_create_time();
  device.clear_update_time();
  device.clear_latest_snapshot();
  device.clear_applying_change();
  device.clear_last_contact_time();
  return device;
}

StatusOr<FieldMask> MaskOf(const FieldMask& given) {
  FieldMask allowed;
  FieldMaskUtil::FromString(kWritable, &allowed);
  if (given.paths().empty()) return allowed;
  for (const std::string& path : given.paths()) {
    if (!FieldMaskUtil::IsPathInFieldMask(path, allowed)) {
      return InvalidField("update_mask", fmt::format("\"{}\" cannot be updated", path));
    }
  }
  return given;
}

void Merge(const v1::Device& from, const FieldMask& mask, v1::Device& to) {
  FieldMaskUtil::MergeOptions options;
  options.set_replace_message_fields(true);
  options.set_replace_repeated_fields(true);
  FieldMaskUtil::MergeMessageTo(from, mask, options, &to);
}

}  // namespace

StatusOr<bool> IsBusy(const Stores& stores, const v1::Device& device) {
  if (device.applying_change().empty()) return false;
  const auto change = stores.changes.Get(device.applying_change());
  if (absl::IsNotFound(change.status())) return false;
  if (!change.ok()) return change.status();
  return change->state() == v1::APPLYING;
}

DeviceHandlers::DeviceHandlers(std::shared_ptr<Stores> stores,
                               std::shared_ptr<const store::Projection<v1::Device>> all,
                               std::shared_ptr<const DriverSet> drivers)
    : stores_(std::move(stores)), all_(std::move(all)), drivers_(std::move(drivers)) {}

Status DeviceHandlers::Check(const v1::Device& device) const {
  YAGURA_RETURN_IF_ERROR(Validate(device));
  YAGURA_RETURN_IF_ERROR(drivers_->Find(device.platform()).status());
  if (!device.startup_path().empty()) {
    YAGURA_RETURN_IF_ERROR(CheckDevicePath("device.startup_path", device.startup_path()));
  }
  if (device.credential().empty()) return absl::OkStatus();
  const Status credential = stores_->credentials.Get(device.credential()).status();
  if (absl::IsNotFound(credential)) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NO_CREDENTIAL",
                     fmt::format("{} does not exist", device.credential()));
  }
  return credential;
}

Status DeviceHandlers::CheckIdle(const v1::Device& device) const {
  YAGURA_ASSIGN_OR_RETURN(const bool busy, IsBusy(*stores_, device));
  if (!busy) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "DEVICE_BUSY",
                   fmt::format("{} is being applied to it", device.applying_change()));
}

StatusOr<v1::Device> DeviceHandlers::Create(const rpc::Call& call,
                                            const v1::CreateDeviceRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(const std::string id, IdOrNew("device_id", request.device_id()));
  v1::Device device = Writable(request.device());
  YAGURA_RETURN_IF_ERROR(Check(device));
  device.set_name(fmt::format("{}/devices/{}", request.parent(), id));
  return stores_->devices.Create(call.write_context(), std::move(device));
}

StatusOr<v1::Device> DeviceHandlers::Get(const rpc::Call&, const v1::GetDeviceRequest& request) {
  return stores_->devices.Get(request.name());
}

StatusOr<v1::ListDevicesResponse> DeviceHandlers::List(const rpc::Call& call,
                                                       const v1::ListDevicesRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(auto page, ListPage(call, QueryOf(request), stores_->devices, *all_));
  v1::ListDevicesResponse response;
  for (v1::Device& device : page.items) *response.add_devices() = std::move(device);
  response.set_next_page_token(std::move(page.next_page_token));
  return response;
}

StatusOr<v1::Device> DeviceHandlers::Update(const rpc::Call& call,
                                            const v1::UpdateDeviceRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(const FieldMask mask, MaskOf(request.update_mask()));
  return stores_->devices.Mutate(
      call.write_context(), request.device().name(), [&](v1::Device& device) {
        YAGURA_RETURN_IF_ERROR(CheckEtag(request.device().etag(), device));
        YAGURA_RETURN_IF_ERROR(CheckIdle(device));
        Merge(request.device(), mask, device);
        return Check(device);
      });
}

StatusOr<google::protobuf::Empty> DeviceHandlers::Delete(const rpc::Call& call,
                                                         const v1::DeleteDeviceRequest& request) {
  const auto device = stores_->devices.Get(request.name());
  std::string etag = request.etag();
  if (device.ok()) {
    YAGURA_RETURN_IF_ERROR(CheckIdle(*device));
    if (etag.empty()) etag = device->etag();  // it must not be taken by a change in between
  } else if (!absl::IsNotFound(device.status())) {
    return device.status();
  }
  YAGURA_RETURN_IF_ERROR(stores_->devices.Delete(call.write_context(), request.name(), etag));
  return google::protobuf::Empty();
}

}  // namespace yagura::config
