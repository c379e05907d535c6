#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "common/auth/token.h"
#include "common/clock/clock.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/rpc/service_registry.h"

namespace yagura::redis {
class Pool;
}
namespace yagura::store {
class FeedFollower;
class KnownTenants;
}  // namespace yagura::store

namespace yagura::rpc {

class Channels;

// What every App is given: shared parts of the process. All members are set.
struct Platform {
  std::shared_ptr<redis::Pool> state;  // the small, precious Redis
  std::shared_ptr<redis::Pool> flow;   // the streams' Redis
  std::shared_ptr<store::FeedFollower> feed;
  std::shared_ptr<const Clock> clock;
  std::shared_ptr<MetricsRegistry> metrics;
  std::shared_ptr<Channels> channels;  // to the other services
  // What callers' tokens are checked with; the directory adds its key, others fetch it from there.
  std::shared_ptr<auth::TokenVerifier> verifier;
  // Calls about tenants that do not exist are refused; not set (in tests): nobody asks.
  std::shared_ptr<const store::KnownTenants> tenants = nullptr;
  std::filesystem::path data_dir;  // for spools, keys and blobs of this process
  // Name of this process that no other process on the same Redis has, and that it has again after a
  // restart: what it held when it was killed it takes back at once, under a higher epoch. Empty:
  // there is none, and what was held comes free when its lease runs out.
  std::string instance;
  Logger logger = Logger::Null();

  // The name of one of its parts, "suite/archive"; empty without an instance.
  std::string HolderOf(std::string_view part) const {
    return instance.empty() ? std::string() : instance + "/" + std::string(part);
  }
};

// One service as a library. Life: made, Register, Start, (serving), Stop, destroyed.
class App {
 public:
  virtual ~App() = default;
  virtual std::string_view name() const = 0;  // "ticketing"
  virtual void Register(ServiceRegistry& registry) = 0;
  // Starts workers and listeners. An error ends the process with its message.
  virtual absl::Status Start() = 0;
  // Stops taking work, finishes what is in hand. Called after the gRPC server has stopped.
  virtual void Stop() = 0;
  // Health of named parts ("redis-flow", "store"): OK, or why not. Asked every second.
  virtual std::map<std::string, absl::Status> Health() const { return {}; }
  // Where its own listeners are ("syslog_udp" -> "127.0.0.1:5514"), for endpoints.json.
  virtual std::map<std::string, std::string> Listeners() const { return {}; }
};

}  // namespace yagura::rpc
