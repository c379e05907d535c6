#include "services/config/app.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "common/blob/blob_settings.h"
#include "common/redis/pool.h"
#include "common/seal/keyring.h"
#include "common/status/status.h"
#include "common/store/projection.h"
#include "services/config/api/changes.h"
#include "services/config/api/credentials.h"
#include "services/config/api/devices.h"
#include "services/config/api/snapshots.h"
#include "services/config/drivers/linux_nftables.h"
#include "services/config/storage/redis_data_keys.h"
#include "services/config/storage/stores.h"
#include "services/config/storage/vault.h"
#include "services/config/transport/ssh_connector.h"
#include "services/config/workers/apply_worker.h"
#include "services/config/workers/device_access.h"

namespace yagura::config {
namespace {

namespace fs = std::filesystem;

std::shared_ptr<const DriverSet> AllDrivers() {
  std::vector<std::unique_ptr<Driver>> drivers;
  drivers.push_back(NewLinuxNftablesDriver());
  return std::make_shared<DriverSet>(std::move(drivers));
}

ApplyWorkerOptions WorkerOptions(const Settings& settings, const rpc::Platform& platform) {
  ApplyWorkerOptions options;
  options.instance = platform.HolderOf("config");
  options.threads = settings.apply_threads;
  options.max_waiting = static_cast<size_t>(settings.max_waiting_changes);
  options.limits.connect = settings.connect_timeout;
  options.limits.command = settings.command_timeout;
  options.limits.prepare = settings.begin_timeout;
  options.limits.recovery = settings.recovery_timeout;
  return options;
}

// The resources of all tenants, for lists over "tenants/-" and to find changes left behind.
struct Projections {
  Projections(const Stores& stores, const rpc::Platform& platform)
      : devices(std::make_shared<store::Projection<v1::Device>>(stores.devices, platform.feed)),
        credentials(
            std::make_shared<store::Projection<v1::Credential>>(stores.credentials, platform.feed)),
        changes(std::make_shared<store::Projection<v1::Change>>(stores.changes, platform.feed)) {}

  std::shared_ptr<store::Projection<v1::Device>> devices;
  std::shared_ptr<store::Projection<v1::Credential>> credentials;
  std::shared_ptr<store::Projection<v1::Change>> changes;
};

StatusOr<std::vector<std::string>> FindApplying(const store::Projection<v1::Change>& changes) {
  store::ListQuery query;
  query.parent = "tenants/-";
  query.filter = "state = APPLYING";
  query.page_size = 1000;
  YAGURA_ASSIGN_OR_RETURN(const auto page, changes.List(query, {.all = true, .tenants = {}}));
  std::vector<std::string> names;
  for (const v1::Change& change : page.items) names.push_back(change.name());
  return names;
}

class ConfigApp final : public rpc::App {
 public:
  ConfigApp(const Settings& settings, const rpc::Platform& platform,
            const std::shared_ptr<Stores>& stores, const std::shared_ptr<Vault>& vault)
      : platform_(platform),
        projections_(*stores, platform),
        drivers_(AllDrivers()),
        access_(std::make_shared<DeviceAccess>(stores, vault, NewSshConnector(), drivers_,
                                               platform.clock)),
        worker_(std::make_shared<ApplyWorker>(
            WorkerOptions(settings, platform), platform.state, stores, vault, access_,
            [changes = projections_.changes] { return FindApplying(*changes); }, platform.clock,
            *platform.metrics, platform.logger.Named("config/apply"))),
        devices_(stores, projections_.devices, drivers_),
        credentials_(stores, projections_.credentials, vault, platform.clock),
        snapshots_(stores, vault, access_, platform.clock, settings.max_snapshots_at_once,
                   settings.snapshot_timeout),
        changes_(stores, projections_.changes, vault, drivers_, access_, worker_, platform.clock) {}

  std::string_view name() const override { return "config"; }

  void Register(rpc::ServiceRegistry& registry) override {
    Add(registry, "CreateDevice", devices_, &DeviceHandlers::Create);
    Add(registry, "GetDevice", devices_, &DeviceHandlers::Get);
    Add(registry, "ListDevices", devices_, &DeviceHandlers::List);
    Add(registry, "UpdateDevice", devices_, &DeviceHandlers::Update);
    Add(registry, "DeleteDevice", devices_, &DeviceHandlers::Delete);
    Add(registry, "CreateCredential", credentials_, &CredentialHandlers::Create);
    Add(registry, "GetCredential", credentials_, &CredentialHandlers::Get);
    Add(registry, "ListCredentials", credentials_, &CredentialHandlers::List);
    Add(registry, "UpdateCredential", credentials_, &CredentialHandlers::Update);
    Add(registry, "DeleteCredential", credentials_, &CredentialHandlers::Delete);
    Add(registry, "TakeSnapshot", snapshots_, &SnapshotHandlers::Take);
    Add(registry, "GetSnapshot", snapshots_, &SnapshotHandlers::Get);
    Add(registry, "ListSnapshots", snapshots_, &SnapshotHandlers::List);
    Add(registry, "DiffSnapshots", snapshots_, &SnapshotHandlers::Diff);
    Add(registry, "RevealSnapshot", snapshots_, &SnapshotHandlers::Reveal);
    Add(registry, "CreateChange", changes_, &ChangeHandlers::Create);
    Add(registry, "GetChange", changes_, &ChangeHandlers::Get);
    Add(registry, "ListChanges", changes_, &ChangeHandlers::List);
    Add(registry, "UpdateChange", changes_, &ChangeHandlers::Update);
    Add(registry, "SubmitChange", changes_, &ChangeHandlers::Submit);
    Add(registry, "ApproveChange", changes_, &ChangeHandlers::Approve);
    Add(registry, "RejectChange", changes_, &ChangeHandlers::Reject);
    Add(registry, "ApplyChange", changes_, &ChangeHandlers::Apply);
    Add(registry, "CancelChange", changes_, &ChangeHandlers::Cancel);
  }

  Status Start() override {
    worker_->Start();
    return absl::OkStatus();
  }

  void Stop() override { worker_->Stop(); }

  std::map<std::string, Status> Health() const override {
    return {{"redis-state", platform_.state->Command({"PING"}).status()}};
  }

 private:
  template <typename Handlers, typename Request, typename Response>
  static void Add(rpc::ServiceRegistry& registry, std::string_view method, Handlers& handlers,
                  StatusOr<Response> (Handlers::*handle)(const rpc::Call&, const Request&)) {
    std::string name = "/yagura.config.v1.ConfigService/";
    name += method;
    registry.Unary<Request, Response>(
        name, [&handlers, handle](const rpc::Call& call, const Request& request) {
          return (handlers.*handle)(call, request);
        });
  }

  const rpc::Platform platform_;
  const Projections projections_;
  const std::shared_ptr<const DriverSet> drivers_;
  const std::shared_ptr<DeviceAccess> access_;
  const std::shared_ptr<ApplyWorker> worker_;
  DeviceHandlers devices_;
  CredentialHandlers credentials_;
  SnapshotHandlers snapshots_;
  ChangeHandlers changes_;
};

}  // namespace

StatusOr<std::unique_ptr<rpc::App>> NewApp(const Settings& settings,
                                           const rpc::Platform& platform) {
  const fs::path kek_file =
      settings.kek_file.empty() ? platform.data_dir / "keys" / "kek" : fs::path(settings.kek_file);
  std::error_code error;
  fs::create_directories(kek_file.parent_path(), error);

  auto stores = std::make_shared<Stores>(platform.state, platform.clock);
  YAGURA_ASSIGN_OR_RETURN(std::shared_ptr<blob::BlobStore> blobs,
                          blob::Open(settings.blobs, platform.data_dir / "blobs"));
  YAGURA_ASSIGN_OR_RETURN(std::shared_ptr<seal::Keyring> keyring,
                          seal::Keyring::Open(kek_file, NewRedisDataKeys(stores, platform.state)));
  auto vault = std::make_shared<Vault>(stores, std::move(blobs), std::move(keyring));
  return std::make_unique<ConfigApp>(settings, platform, stores, vault);
}

}  // namespace yagura::config
