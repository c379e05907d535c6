#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::notification {

// Which processes that make attempts are alive: each keeps a key that expires after 5 s unless it
// is renewed, or that its successor of the same instance takes away. Thread-safe.
class Holders {
 public:
  // `self`: a name that no process has had before. `instance`: as rpc::Platform::instance.
  Holders(std::shared_ptr<redis::Pool> state, std::string self, std::string instance = "");
  const std::string& self() const { return self_; }
  // The first time also takes the instance over. ABORTED (SUPERSEDED) where a later process of the
  // same instance has done so since: nothing may be begun any more, for good. What Redis has lost,
  // or has an older value of again, is put back. Not from two threads at once.
  absl::Status Renew();
  absl::Status Release();
  absl::StatusOr<bool> IsAlive(std::string_view holder) const;

 private:
  std::shared_ptr<redis::Pool> state_;
  const std::string self_;
  const std::string instance_;
  std::atomic<int64_t> term_ = 0;  // 0: not in office yet
  std::atomic<bool> superseded_ = false;
};

}  // namespace yagura::notification
