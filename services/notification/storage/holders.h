#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::notification {

// Which processes that make attempts are alive: each keeps a key that expires after 5 s unless it
// is renewed. Thread-safe.
class Holders {
 public:
  // `self`: a name that no process has had before.
  Holders(std::shared_ptr<redis::Pool> state, std::string self);
  const std::string& self() const { return self_; }
  absl::Status Renew();
  absl::Status Release();
  absl::StatusOr<bool> IsAlive(std::string_view holder) const;

 private:
  std::shared_ptr<redis::Pool> state_;
  const std::string self_;
};

}  // namespace yagura::notification
