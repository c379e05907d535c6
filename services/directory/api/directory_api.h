#pragma once

#include <memory>

#include "common/auth/token.h"
#include "common/clock/clock.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/rpc/service_registry.h"
#include "services/directory/api/key_gate.h"
#include "services/directory/settings.h"
#include "services/directory/storage/directory_store.h"
#include "services/directory/storage/login_throttle.h"
#include "services/directory/storage/password_hasher.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::directory {

// What the handlers work with. Outlives the registry's server.
struct Parts {
  Settings settings;
  std::shared_ptr<redis::Pool> state;
  std::shared_ptr<const Clock> clock;
  Logger logger;
  std::unique_ptr<DirectoryStore> store;
  std::unique_ptr<PasswordHasher> hasher;
  std::unique_ptr<LoginThrottle> throttle;
  std::unique_ptr<KeyGate> key_gate;
  std::unique_ptr<auth::TokenIssuer> issuer;
  std::shared_ptr<auth::TokenVerifier> verifier;
  std::vector<std::string> retired_keys;  // public keys that signed before `issuer`'s
  Counter* logins = nullptr;
  Counter* failed_logins = nullptr;
};

inline constexpr std::string_view kTokenIssuer = "yagura";

// Ends what was issued to the principal up to now: here at once, elsewhere within seconds. A change
// of what lets it in calls this before it (nothing survives a change that is cut off in the middle)
// and after it (whoever was let in meanwhile).
absl::Status EndTokens(Parts& parts, std::string_view principal);

// One file a resource: each names its handlers.
void RegisterTenants(rpc::ServiceRegistry& registry, Parts& parts);
void RegisterSites(rpc::ServiceRegistry& registry, Parts& parts);
void RegisterUsers(rpc::ServiceRegistry& registry, Parts& parts);
void RegisterApiKeys(rpc::ServiceRegistry& registry, Parts& parts);
void RegisterAssets(rpc::ServiceRegistry& registry, Parts& parts);
void RegisterSources(rpc::ServiceRegistry& registry, Parts& parts);
void RegisterLogin(rpc::ServiceRegistry& registry, Parts& parts);

}  // namespace yagura::directory
