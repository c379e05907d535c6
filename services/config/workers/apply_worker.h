#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "services/config/storage/stores.h"
#include "services/config/storage/vault.h"
#include "services/config/workers/apply_run.h"
#include "services/config/workers/device_access.h"

namespace yagura::config {

struct ApplyWorkerOptions {
  int threads = 4;           // changes that are applied at once
  size_t max_waiting = 100;  // more are refused
  ApplyLimits limits;
  std::chrono::milliseconds look{1'000};   // how often we look for changes that nobody applies
  std::chrono::milliseconds lease{6'000};  // after so long a dead process's change is taken over
  std::string instance;                    // as rpc::Platform::instance: then at once
};

// Carries changes in state APPLYING to their end: those that were just begun, and those that a
// process before us left behind. Each change is done by one process at a time (a lease in Redis).
class ApplyWorker {
 public:
  // Names of the changes in state APPLYING, of all tenants.
  using FindApplying = std::function<absl::StatusOr<std::vector<std::string>>()>;

  ApplyWorker(ApplyWorkerOptions options, std::shared_ptr<redis::Pool> state,
              std::shared_ptr<Stores> stores, std::shared_ptr<Vault> vault,
              std::shared_ptr<DeviceAccess> access, FindApplying find_applying,
              std::shared_ptr<const Clock> clock, MetricsRegistry& metrics, Logger logger);
  ~ApplyWorker();

  void Start();
  // Leaves what is in hand where it is; the next process carries on.
  void Stop();
  // RESOURCE_EXHAUSTED (TOO_MANY_CHANGES) where too many wait. Asked before a change is begun.
  absl::Status CheckRoom() const;
  // Takes it up at once.
  void Enqueue(const std::string& change);

 private:
  struct Loaded;

  void Work(const std::stop_token& stop);
  void Look(const std::stop_token& stop);
  void Apply(const std::string& name, const std::stop_token& stop);
  absl::StatusOr<Loaded> Load(const std::string& name) const;
  absl::Status CheckTexts(const Loaded& loaded) const;
  absl::Status ClaimDevice(const Loaded& loaded) const;
  absl::Status CheckUnmoved(const Loaded& loaded) const;
  absl::StatusOr<v1::ChangeTarget> WhereTo(const Loaded& loaded) const;
  void Carry(Loaded& loaded, const std::stop_token& stop);
  bool NotePhase(const std::string& name, v1::ApplyPhase phase, double progress) const;
  absl::Status Finish(const Loaded& loaded, const ApplyReport& report);
  absl::Status FailUnbegun(const std::string& name, const absl::Status& why);
  absl::StatusOr<v1::ApplyStatus> Describe(const Loaded& loaded, const ApplyReport& report);
  absl::Status End(const std::string& name, const std::string& device,
                   const v1::ApplyStatus& outcome, v1::ChangeState state);

  const ApplyWorkerOptions options_;
  const std::shared_ptr<redis::Pool> state_;
  const std::shared_ptr<Stores> stores_;
  const std::shared_ptr<Vault> vault_;
  const std::shared_ptr<DeviceAccess> access_;
  const FindApplying find_applying_;
  const std::shared_ptr<const Clock> clock_;
  MetricsRegistry& metrics_;
  const Logger logger_;

  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<std::string> waiting_;
  std::set<std::string> known_;  // waiting or in hand
  std::vector<std::jthread> threads_;
};

}  // namespace yagura::config
