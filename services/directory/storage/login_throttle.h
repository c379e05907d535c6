#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace yagura::redis {
class Pool;
class Script;
}  // namespace yagura::redis

namespace yagura::directory {

struct ThrottleLimits {
  int per_user_and_address = 5;
  int per_user = 20;
  int per_address = 50;
  std::chrono::milliseconds window{15 * 60 * 1000};
};

// Bounds how often somebody may guess. Counters live in Redis, so that all replicas share them.
// Attempts count before they are checked: guesses sent at once count like guesses in a row.
// Thread-safe.
class LoginThrottle {
 public:
  LoginThrottle(std::shared_ptr<redis::Pool> state, ThrottleLimits limits);

  // RESOURCE_EXHAUSTED (LOGIN_THROTTLED, with the time to wait) where a counter is used up;
  // otherwise counts the attempt. `user` is "tenants/{tenant}/users/{user}", empty for API keys;
  // `address` what a caller cannot change at will, rpc::PeerNetwork.
  absl::Status Begin(std::string_view user, std::string_view address);
  // The attempt was right: it no longer counts.
  absl::Status Succeeded(std::string_view user, std::string_view address);
  // Whether it was right could not be found out: it does not count, and others still do.
  absl::Status Undecided(std::string_view user, std::string_view address);
  // A new password lets its user try at once, from anywhere.
  absl::Status Forgive(std::string_view user);

 private:
  absl::StatusOr<int64_t> Run(const redis::Script& script, std::string_view user,
                              std::string_view address, const std::vector<std::string>& args);

  const std::shared_ptr<redis::Pool> state_;
  const ThrottleLimits limits_;
};

}  // namespace yagura::directory
