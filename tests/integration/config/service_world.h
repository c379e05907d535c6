#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "common/redis/pool.h"
#include "common/rpc/call.h"
#include "common/store/change_feed.h"
#include "common/store/projection.h"
#include "common/testing/eventually.h"
#include "services/config/api/changes.h"
#include "services/config/api/credentials.h"
#include "services/config/api/devices.h"
#include "services/config/api/snapshots.h"
#include "services/config/storage/stores.h"
#include "services/config/storage/vault.h"
#include "services/config/workers/apply_worker.h"

namespace yagura::config {

// A call as the runtime hands it to a handler: `user` of tenant "acme".
rpc::Call CallAs(const std::string& user, const std::string& request_id = "",
                 const std::string& request_digest = "");

// The service without gRPC: handlers and worker over a Redis and a data folder that others may
// share.
class ServiceWorld {
 public:
  ServiceWorld(const redis::Endpoint& state_redis, const std::filesystem::path& data_folder);
  ~ServiceWorld();

  // Waits until the change has ended.
  v1::Change AwaitEnd(const std::string& change);

  std::shared_ptr<redis::Pool> state;
  std::shared_ptr<store::FeedFollower> feed;
  std::shared_ptr<Stores> stores;
  std::shared_ptr<seal::Keyring> keyring;
  std::shared_ptr<Vault> vault;
  std::shared_ptr<DriverSet> drivers;
  std::shared_ptr<DeviceAccess> access;
  std::shared_ptr<store::Projection<v1::Device>> all_devices;
  std::shared_ptr<store::Projection<v1::Credential>> all_credentials;
  std::shared_ptr<store::Projection<v1::Change>> all_changes;
  MetricsRegistry metrics;
  std::shared_ptr<ApplyWorker> worker;
  std::unique_ptr<DeviceHandlers> devices;
  std::unique_ptr<CredentialHandlers> credentials;
  std::unique_ptr<SnapshotHandlers> snapshots;
  std::unique_ptr<ChangeHandlers> changes;
};

using testing::Eventually;

}  // namespace yagura::config
