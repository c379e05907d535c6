#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/status.h"

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

  // RESOURCE_EXHAUSTED (KEYS_THROTTLED, with the time to wait): not to be looked up now. `hash`: of
  // the secret; `network`: rpc::PeerNetwork.
  absl::Status Begin(const std::string& hash, std::string_view network);
  // What came of it.
  void Good(const std::string& hash, std::string_view network);
  void Bad(const std::string& hash);

 private:
  const std::shared_ptr<const Clock> clock_;
  rpc::Quota unknown_;
  std::mutex mutex_;
  StringMap<SteadyTime> good_;  // by hash: when last
};

}  // namespace yagura::directory
