#pragma once

#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/auth/token.h"
#include "common/clock/clock.h"
#include "common/metrics/metrics.h"
#include "common/rpc/quota.h"
#include "common/text/text.h"

namespace yagura::rpc {

// The tenant that a principal belongs to, whose quota it draws on and in whose audit trail its
// denials are; empty for services.
std::string HomeTenantOf(const auth::Principal& principal);

// Turns the `authorization` header of a call into a principal. Remembers the tokens of the last
// minute, for as long as no key and no token is revoked, since checking a signature costs more than
// most calls. Bad signatures are counted for each peer and signing key, and above 20 a second
// (twice as many at once) not even looked at: who has a key that is not published, as services
// among themselves do, is not kept out by others who come from the same address. Thread-safe.
class Authenticator {
 public:
  // `checks`: signatures that were checked.
  Authenticator(std::shared_ptr<auth::TokenVerifier> verifier, std::shared_ptr<const Clock> clock,
                Counter* checks);
  // UNAUTHENTICATED (TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED), RESOURCE_EXHAUSTED
  // (TOO_MANY_BAD_TOKENS). `peer`: as gRPC names it.
  absl::StatusOr<std::shared_ptr<const auth::Principal>> Authenticate(
      std::string_view authorization, std::string_view peer);

 private:
  struct Known {
    std::shared_ptr<const auth::Principal> principal;
    TimePoint until;
    uint64_t generation;  // of the verifier
  };
  const std::shared_ptr<auth::TokenVerifier> verifier_;
  const std::shared_ptr<const Clock> clock_;
  Counter* const checks_;
  Quota bad_signatures_;
  std::shared_mutex mutex_;
  StringMap<Known> known_;
};

}  // namespace yagura::rpc
