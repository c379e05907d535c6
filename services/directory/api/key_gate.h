#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/rpc/quota.h"
#include "common/text/text.h"

namespace yagura::directory {

// Bounds how many API keys that nobody knows yet are looked up in Redis for one address, so that
// wrong ones cost little. Secrets that were good here within a day are looked up whatever else
// comes from their address. Of this process alone. Thread-safe.
class KeyGate {
 public:
  // `per_second` of one address; at once twice as many.
  KeyGate(double per_second, const std::shared_ptr<const Clock>& clock);

  // A secret that may be looked up.
  struct Pass {
    bool counted = false;  // against its network, as it was not known to be good
  };
  // RESOURCE_EXHAUSTED (KEYS_THROTTLED, with the time to wait): not to be looked up now. `hash`: of
  // the secret; `network`: rpc::PeerNetwork.
  absl::StatusOr<Pass> Begin(const std::string& hash, std::string_view network);
  // What came of it.
  void Good(const std::string& hash, std::string_view network, Pass pass);
  void Bad(const std::string& hash);
  // Nobody could look it up.
  void Undecided(std::string_view network, Pass pass);

  // Secrets that are remembered as good.
  size_t remembered() const;

 private:
  void Forget(SteadyTime now);  // under the mutex

  const std::shared_ptr<const Clock> clock_;
  rpc::Quota unknown_;
  mutable std::mutex mutex_;
  StringMap<SteadyTime> good_;  // by hash: when last
  SteadyTime next_look_{};      // for those to be forgotten
};

}  // namespace yagura::directory
