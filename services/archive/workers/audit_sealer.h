#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "absl/status/status.h"

#include "services/archive/workers/tenant_sealer.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::archive {

// Seals the feeds of all tenants and trims what is sealed, on a thread of its own. Several
// processes may do so: a tenant has one sealer at a time.
class AuditSealer {
 public:
  AuditSealer(std::shared_ptr<redis::Pool> state, SealOptions options, SealerParts& parts);
  ~AuditSealer();  // stops
  void Start();
  void Stop();

  // One look at all tenants: seals those that are due (or `all` that have anything to seal), and
  // trims.
  absl::Status Pass(bool all = false, const std::stop_token& stop = {});

  // OK, or that the state Redis or the event store cannot be reached. One tenant whose chain is in
  // doubt is no illness of the service: that is told by Stalled.
  absl::Status Health() const;
  // Why the feeds of these tenants are not being sealed.
  std::map<std::string, absl::Status> Stalled() const;
  size_t stalled() const;     // tenants whose last turn failed
  uint64_t unsealed() const;  // records of all tenants, at the last look

 private:
  using Steady = std::chrono::steady_clock;
  void Run(const std::stop_token& stop);
  bool Due(const std::string& tenant, const SealStore::Feed& feed);
  absl::Status Trim(const std::string& tenant, const SealStore::Feed& feed);
  absl::StatusOr<uint64_t> TrimmedUpTo(const std::string& tenant, const SealStore::Feed& feed);
  bool Failed(const std::string& tenant) const;
  bool Waits(const std::string& tenant) const;
  void Report(const std::string& tenant, const absl::Status& status);

  const std::shared_ptr<redis::Pool> state_;
  const SealOptions options_;
  SealerParts& parts_;
  const std::string holder_;
  std::map<std::string, Steady::time_point> waiting_since_;  // of tenants with unsealed records
  std::map<std::string, Steady::time_point> trim_looked_;    // when its age was last looked at
  // Whoever is stalled is tried again after a while that doubles each time.
  struct Pause {
    std::chrono::milliseconds length{};
    Steady::time_point until{};
  };
  std::map<std::string, Pause> pauses_;
  mutable std::mutex mutex_;
  absl::Status state_health_;                   // guarded by mutex_
  std::map<std::string, absl::Status> failed_;  // guarded by mutex_
  uint64_t unsealed_ = 0;                       // guarded by mutex_
  std::jthread thread_;
};

}  // namespace yagura::archive
