#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/statusor.h"

#include "common/auth/token.h"
#include "common/clock/clock.h"
#include "common/rpc/quota.h"
#include "common/text/text.h"

namespace yagura::ingestion {

// Who an API key speaks for, for senders that cannot exchange it themselves. The token that the
// directory gives for it is kept while it is good, looked at again when anything was revoked (so a
// key that is disabled is refused at once), and renewed on a thread of its own before it ends: a
// key in use waits for nobody.
//
// Keys that are not known are asked for at a bounded rate by network, whatever they claim to be. A
// key that turned out bad is refused for ten seconds without asking again. Bad ones are counted by
// the network they come from and the key that they claim to be, so that guesses at one key keep no
// other key out, from whatever address; a key that was good once is not counted. Thread-safe.
class ApiKeys {
 public:
  using PrincipalPtr = std::shared_ptr<const auth::Principal>;
  // Asks the directory for a token for whoever showed the key (`peer`: as gRPC names it). A bad key
  // is UNAUTHENTICATED, or LOGIN_THROTTLED.
  using Exchange = std::function<absl::StatusOr<std::string>(const std::string& secret,
                                                             const std::string& peer)>;
  ApiKeys(Exchange exchange, std::shared_ptr<auth::TokenVerifier> verifier,
          std::shared_ptr<const Clock> clock);
  ~ApiKeys();

  // What is known of the key, without asking anybody: whom it speaks for, UNAUTHENTICATED, or null
  // where Resolve must be asked.
  absl::StatusOr<PrincipalPtr> Look(const std::string& secret);
  // May wait for the directory, for seconds: call it on threads whose waiting holds up nobody with
  // a known key. UNAUTHENTICATED, RESOURCE_EXHAUSTED (TOO_MANY_BAD_KEYS) or UNAVAILABLE. `peer`: as
  // gRPC names it.
  absl::StatusOr<PrincipalPtr> Resolve(const std::string& secret, std::string_view peer);

 private:
  struct Known {
    std::string secret;
    std::string peer;  // that showed it last when it was asked for
    std::string token;
    PrincipalPtr principal;
    uint64_t generation = 0;  // of the verifier, when it was looked at
    bool renewing = false;
  };
  // Both under the mutex.
  void Forget();
  void NoteBad(const std::string& digest);

  absl::StatusOr<PrincipalPtr> Ask(const std::string& digest, const std::string& secret,
                                   const std::string& peer);
  void Renew(const std::stop_token& stop);

  const Exchange exchange_;
  const std::shared_ptr<auth::TokenVerifier> verifier_;
  const std::shared_ptr<const Clock> clock_;
  rpc::Quota unknown_keys_;  // by network
  rpc::Quota bad_keys_;      // by network and claim
  std::mutex mutex_;
  std::condition_variable_any wake_;
  StringMap<Known> known_;     // by digest of the secret
  StringMap<SteadyTime> bad_;  // by digest: since when
  std::list<std::string> to_renew_;
  std::jthread renewer_;
};

}  // namespace yagura::ingestion
