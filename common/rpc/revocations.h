#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>

#include "absl/status/status.h"

#include "common/auth/token.h"
#include "common/clock/clock.h"
#include "common/log/log.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::rpc {

// Puts into the state Redis, for all processes, that what was issued to the principal before that
// time is not accepted any more. Kept for as long as such a token may live.
absl::Status RecordRevocation(redis::Pool& state, std::string_view principal, TimePoint before);

// Tells the verifier of what is recorded, every two seconds, on a thread.
class RevocationFollower {
 public:
  RevocationFollower(std::shared_ptr<redis::Pool> state,
                     std::shared_ptr<auth::TokenVerifier> verifier, Logger logger,
                     std::chrono::milliseconds interval = std::chrono::seconds(2));
  ~RevocationFollower();

 private:
  absl::Status Read();
  void Run();

  const std::shared_ptr<redis::Pool> state_;
  const std::shared_ptr<auth::TokenVerifier> verifier_;
  const Logger logger_;
  const std::chrono::milliseconds interval_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace yagura::rpc
