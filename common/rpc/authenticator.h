#pragma once

#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/auth/token.h"
#include "common/clock/clock.h"
#include "common/text/text.h"

namespace yagura::rpc {

// The tenant that a principal belongs to, whose quota it draws on and in whose audit trail its
// denials are; empty for services.
std::string HomeTenantOf(const auth::Principal& principal);

// Turns the `authorization` header of a call into a principal. Remembers the tokens of the last
// minute, since checking a signature costs more than most calls. Thread-safe.
class Authenticator {
 public:
  Authenticator(std::shared_ptr<auth::TokenVerifier> verifier, std::shared_ptr<const Clock> clock);
  // UNAUTHENTICATED (TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED).
  absl::StatusOr<std::shared_ptr<const auth::Principal>> Authenticate(
      std::string_view authorization);

 private:
  struct Known {
    std::shared_ptr<const auth::Principal> principal;
    TimePoint until;
  };
  const std::shared_ptr<auth::TokenVerifier> verifier_;
  const std::shared_ptr<const Clock> clock_;
  std::shared_mutex mutex_;
  StringMap<Known> known_;
};

}  // namespace yagura::rpc
