#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::config {

// The sole right to do something, held in Redis and renewed while the object lives. A holder that
// dies loses it after `lifetime`, or at once to the next process of the same instance.
class Lease {
 public:
  // Null where somebody else holds it. `instance`: as rpc::Platform::instance; within one process
  // nobody asks for a key that is held there already. `on_lost` is called once, from another
  // thread, where it turns out that somebody else holds it now.
  static absl::StatusOr<std::unique_ptr<Lease>> Acquire(std::shared_ptr<redis::Pool> state,
                                                        std::string key,
                                                        const std::string& instance,
                                                        std::chrono::milliseconds lifetime,
                                                        std::function<void()> on_lost);
  ~Lease();  // gives it back

 private:
  Lease(std::shared_ptr<redis::Pool> state, std::string key, std::string holder,
        std::chrono::milliseconds lifetime, std::function<void()> on_lost);
  void Renew(const std::stop_token& stop);

  const std::shared_ptr<redis::Pool> state_;
  const std::string key_;
  const std::string holder_;
  const std::chrono::milliseconds lifetime_;
  const std::function<void()> on_lost_;
  std::jthread renewer_;
};

}  // namespace yagura::config
