#pragma once

#include <functional>
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
// most calls.
//
// Tokens that turn out bad (forged, expired, revoked) are counted for each peer's network and
// signing key, and above a bound not even looked at: who has a key that is not published, as
// services among themselves do, is not kept out by others who come from the same address. Behind a
// balancer all callers have one address, so that who was seen good from it in the last hour is
// counted alone first, by the name that the token claims. Thread-safe.
class Authenticator {
 public:
  struct Options {
    double bad_tokens_per_second = 20;
    double bad_tokens_burst = 40;
    // Called for a token that no key was found for, as fits one that is not known yet. True: keys
    // were fetched, look again. Bounds its own cost. Empty: there are no other keys.
    std::function<bool()> find_new_keys = {};
  };
  // `checks`: signatures that were checked.
  Authenticator(Options options, std::shared_ptr<auth::TokenVerifier> verifier,
                std::shared_ptr<const Clock> clock, Counter* checks);
  // UNAUTHENTICATED (TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED), RESOURCE_EXHAUSTED
  // (TOO_MANY_BAD_TOKENS). `peer`: as gRPC names it.
  absl::StatusOr<std::shared_ptr<const auth::Principal>> Authenticate(
      std::string_view authorization, std::string_view peer);

 private:
  absl::StatusOr<auth::Principal> Verify(std::string_view token, std::string_view network);
  absl::Status TakeFrom(std::string_view token, std::string_view network, std::string_view key_id,
                        std::string& bucket);
  bool SeenGood(const std::string& who);
  void Remember(std::string_view token, std::string_view network,
                std::shared_ptr<const auth::Principal> principal, uint64_t generation);

  struct Known {
    std::shared_ptr<const auth::Principal> principal;
    TimePoint until;
    uint64_t generation;  // of the verifier
  };
  const Options options_;
  const std::shared_ptr<auth::TokenVerifier> verifier_;
  const std::shared_ptr<const Clock> clock_;
  Counter* const checks_;
  Quota bad_tokens_;
  std::shared_mutex mutex_;
  StringMap<Known> known_;
  StringMap<SteadyTime> seen_good_;  // by network and principal: the last time
};

}  // namespace yagura::rpc
