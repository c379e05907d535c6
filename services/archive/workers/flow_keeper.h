#pragma once

#include <memory>

#include "absl/status/status.h"

#include "common/clock/clock.h"

namespace yagura::eventstore {
class Client;
}

namespace yagura::archive {

class Retention;

// Drops flows whose days are over. Thread-safe; several may do so at once.
class FlowKeeper {
 public:
  FlowKeeper(std::shared_ptr<eventstore::Client> client, const Retention& retention);
  // The store works on it after this returns. Errors are those of Client.
  absl::Status Sweep(TimePoint now) const;

 private:
  const std::shared_ptr<eventstore::Client> client_;
  const Retention& retention_;
};

}  // namespace yagura::archive
