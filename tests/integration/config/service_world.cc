#include "tests/integration/config/service_world.h"

#include "fmt/format.h"

#include "services/config/drivers/linux_nftables.h"
#include "services/config/storage/redis_data_keys.h"
#include "services/config/transport/ssh_connector.h"

namespace yagura::config {

rpc::Call CallAs(const std::string& user, const std::string& request_id,
                 const std::string& request_digest) {
  rpc::Call::Parts parts;
  parts.principal.name = "tenants/acme/users/" + user;
  parts.principal.grants.push_back({.role = "admin", .all_tenants = false, .tenants = {"acme"}});
  parts.method = "/test";
  parts.permission = "config.changes.list";
  parts.tenant = "acme";
  parts.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  parts.request_id = request_id;
  parts.request_digest = request_digest;
  return rpc::Call(std::move(parts));
}

ServiceWorld::ServiceWorld(const redis::Endpoint& state_redis,
                           const std::filesystem::path& data_folder)
    : state(std::make_shared<redis::Pool>(state_redis)),
      feed(std::make_shared<store::FeedFollower>(state, Logger::Null())),
      stores(std::make_shared<Stores>(state, SystemClock())) {
  feed->Start();
  keyring = *seal::Keyring::Open(data_folder / "kek", NewRedisDataKeys(stores, state));
  std::shared_ptr<blob::BlobStore> blobs = *blob::OpenFolder({.folder = data_folder / "blobs"});
  vault = std::make_shared<Vault>(stores, blobs, keyring);
  std::vector<std::unique_ptr<Driver>> all_drivers;
  all_drivers.push_back(NewLinuxNftablesDriver());
  drivers = std::make_shared<DriverSet>(std::move(all_drivers));
  access = std::make_shared<DeviceAccess>(stores, vault, NewSshConnector(), drivers, SystemClock());
  all_devices = std::make_shared<store::Projection<v1::Device>>(stores->devices, feed);
  all_credentials = std::make_shared<store::Projection<v1::Credential>>(stores->credentials, feed);
  all_changes = std::make_shared<store::Projection<v1::Change>>(stores->changes, feed);
  ApplyWorkerOptions options;
  options.limits = {.connect = std::chrono::milliseconds(2500),
                    .command = std::chrono::seconds(5),
                    .prepare = std::chrono::seconds(20),
                    .recovery = std::chrono::seconds(60),
                    .retry = std::chrono::milliseconds(100)};
  options.look = std::chrono::milliseconds(200);
  options.lease = std::chrono::milliseconds(2000);
  const auto find = [changes = all_changes]() -> absl::StatusOr<std::vector<std::string>> {
    store::ListQuery query;
    query.parent = "tenants/-";
    query.filter = "state = APPLYING";
    const auto page = changes->List(query, {.all = true, .tenants = {}});
    if (!page.ok()) return page.status();
    std::vector<std::string> names;
    for (const auto& change : page->items) names.push_back(change.name());
    return names;
  };
  worker = std::make_shared<ApplyWorker>(options, state, stores, vault, access, find, SystemClock(),
                                         metrics, Logger::Null());
  devices = std::make_unique<DeviceHandlers>(stores, all_devices, drivers);
  credentials = std::make_unique<CredentialHandlers>(stores, all_credentials, vault, SystemClock());
  snapshots = std::make_unique<SnapshotHandlers>(stores, vault, access, SystemClock(), 2,
                                                 std::chrono::seconds(20));
  changes = std::make_unique<ChangeHandlers>(stores, all_changes, vault, drivers, access, worker,
                                             SystemClock());
}

ServiceWorld::~ServiceWorld() {
  worker->Stop();
  feed->Stop();
}

v1::Change ServiceWorld::AwaitEnd(const std::string& change) {
  v1::Change current;
  Eventually([&] {
    const auto got = stores->changes.Get(change);
    if (got.ok()) current = *got;
    return got.ok() && IsFinal(current.state());
  });
  return current;
}

}  // namespace yagura::config
