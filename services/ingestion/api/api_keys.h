#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/auth/token.h"
#include "common/clock/clock.h"
#include "common/rpc/quota.h"
#include "common/text/text.h"

namespace yagura::ingestion {

// Who an API key speaks for, for senders that cannot exchange it themselves. The token that the
// directory gives for it is kept while it is good, and looked at again when anything was revoked;
// so a key that is disabled is refused at once. Bad keys are counted by network, and together they
// are asked for so rarely that the directory never shuts us out. Thread-safe.
class ApiKeys {
 public:
  // Asks the directory for a token.
  using Exchange = std::function<absl::StatusOr<std::string>(const std::string& secret)>;
  ApiKeys(Exchange exchange, std::shared_ptr<auth::TokenVerifier> verifier,
          std::shared_ptr<const Clock> clock);
  // UNAUTHENTICATED, RESOURCE_EXHAUSTED (too many bad keys) or UNAVAILABLE. `peer`: as gRPC names
  // it.
  absl::StatusOr<std::shared_ptr<const auth::Principal>> Resolve(const std::string& secret,
                                                                 std::string_view peer);

 private:
  struct Known {
    std::string token;
    std::shared_ptr<const auth::Principal> principal;
    uint64_t generation = 0;  // of the verifier, when it was looked at
  };
  const Exchange exchange_;
  const std::shared_ptr<auth::TokenVerifier> verifier_;
  const std::shared_ptr<const Clock> clock_;
  rpc::Quota bad_keys_;
  rpc::Quota all_bad_keys_;
  std::mutex mutex_;
  StringMap<Known> known_;  // by digest of the secret
};

}  // namespace yagura::ingestion
