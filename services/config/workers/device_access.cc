#include "services/config/workers/device_access.h"

#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "common/text/text.h"
#include "services/config/domain/change_machine.h"

namespace yagura::config {
DeviceAccess::DeviceAccess(std::shared_ptr<Stores> stores, std::shared_ptr<Vault> vault,
                           std::shared_ptr<DeviceConnector> connector,
                           std::shared_ptr<const DriverSet> drivers,
                           std::shared_ptr<const Clock> clock)
    : stores_(std::move(stores)),
      vault_(std::move(vault)),
      connector_(std::move(connector)),
      drivers_(std::move(drivers)),
      clock_(std::move(clock)) {}

StatusOr<v1::ChangeTarget> DeviceAccess::ChangeTargetOf(const v1::Device& device) const {
  if (device.credential().empty()) return TargetOf(device, nullptr);
  const auto credential = stores_->credentials.Get(device.credential());
  if (absl::IsNotFound(credential.status())) return TargetOf(device, nullptr);
  if (!credential.ok()) return credential.status();
  return TargetOf(device, &*credential);
}

StatusOr<DeviceTarget> DeviceAccess::Open(const v1::ChangeTarget& where) const {
  const auto no_credential = [](std::string_view why) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NO_CREDENTIAL",
                     fmt::format("the device {}", why));
  };
  if (where.credential().empty()) return no_credential("has no credential");
  const auto credential = stores_->credentials.Get(where.credential());
  if (absl::IsNotFound(credential.status())) {
    return no_credential("names a credential that is gone");
  }
  if (!credential.ok()) return credential.status();
  YAGURA_ASSIGN_OR_RETURN(std::string secret, vault_->OpenSecret(credential->name()));

  DeviceTarget target;
  target.address = where.address();
  target.port = where.port();
  target.host_key_fingerprints.assign(where.host_key_fingerprints().begin(),
                                      where.host_key_fingerprints().end());
  target.trust_on_first_use = where.trust_host_key_on_first_use();
  target.user_name = where.user_name();
  if (credential->secret_kind() == v1::PRIVATE_KEY) {
    target.private_key = std::move(secret);
  } else {
    target.password = std::move(secret);
  }
  return target;
}

StatusOr<const Driver*> DeviceAccess::DriverOf(const v1::Device& device) const {
  return drivers_->Find(device.platform());
}

StatusOr<RunningConfiguration> DeviceAccess::ReadRunning(const v1::Device& device,
                                                         const Patience& patience) {
  YAGURA_ASSIGN_OR_RETURN(const Driver* driver, DriverOf(device));
  YAGURA_ASSIGN_OR_RETURN(const v1::ChangeTarget where, ChangeTargetOf(device));
  YAGURA_ASSIGN_OR_RETURN(const DeviceTarget target, Open(where));
  YAGURA_ASSIGN_OR_RETURN(const auto session, connector_->Connect(target, patience));
  YAGURA_ASSIGN_OR_RETURN(RunningConfiguration running, driver->Fetch(*session, patience));
  YAGURA_RETURN_IF_ERROR(NoteContact(device, session->host_key_fingerprint()));
  return running;
}

Status DeviceAccess::NoteContact(const v1::Device& device,
                                 const std::string& host_key_fingerprint) {
  if (host_key_fingerprint.empty()) return absl::OkStatus();
  return stores_->devices
      .Mutate(ServiceContext("NoteContact"), device.name(),
              [&](v1::Device& current) {
                *current.mutable_last_contact_time() = ToProto(clock_->Now());
                const bool first = current.host_key_fingerprints().empty() &&
                                   current.trust_host_key_on_first_use() &&
                                   current.address() == device.address() &&
                                   current.port() == device.port();
                if (first) current.add_host_key_fingerprints(host_key_fingerprint);
                return absl::OkStatus();
              })
      .status();
}

StatusOr<v1::Snapshot> DeviceAccess::Keep(const store::WriteContext& context,
                                          const v1::Device& device,
                                          const RunningConfiguration& running, v1::Snapshot seed) {
  const std::string tenant = TenantIdOf(device.name());
  YAGURA_ASSIGN_OR_RETURN(const Scrubbed scrubbed, vault_->Scrub(tenant, running.text));
  YAGURA_ASSIGN_OR_RETURN(std::string digest, vault_->DigestOf(tenant, running.text));
  seed.set_name(fmt::format("{}/snapshots/{}", device.name(), store::NewUlid()));
  seed.set_device(device.name());
  seed.set_platform(device.platform());
  seed.set_digest(std::move(digest));
  seed.set_size_bytes(static_cast<int64_t>(running.text.size()));
  seed.set_scrubbed_secrets(static_cast<int32_t>(scrubbed.secrets.size()));
  seed.set_software_version(running.software_version);
  // The text first: a snapshot that is listed can be opened.
  const std::string name = seed.name();
  YAGURA_RETURN_IF_ERROR(vault_->PutSnapshot(context, name, running.text));
  YAGURA_ASSIGN_OR_RETURN(v1::Snapshot kept, stores_->snapshots.Create(context, std::move(seed)));
  if (kept.name() != name) {  // a repeat: the first answer, with the text that was read then
    YAGURA_RETURN_IF_ERROR(vault_->ForgetSnapshot(context, name));
    YAGURA_ASSIGN_OR_RETURN(const std::string text, vault_->OpenSnapshot(kept.name()));
    YAGURA_ASSIGN_OR_RETURN(const Scrubbed first, vault_->Scrub(tenant, text));
    kept.set_text(ToValidUtf8(first.text));
    return kept;
  }
  YAGURA_RETURN_IF_ERROR(stores_->devices
                             .Mutate(ServiceContext("NoteSnapshot"), device.name(),
                                     [&](v1::Device& current) {
                                       current.set_latest_snapshot(kept.name());
                                       return absl::OkStatus();
                                     })
                             .status());
  kept.set_text(ToValidUtf8(scrubbed.text));
  return kept;
}

}  // namespace yagura::config
