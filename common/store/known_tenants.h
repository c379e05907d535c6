#pragma once

#include <memory>
#include <mutex>
#include <string_view>

#include "common/text/text.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::store {

// Whether a tenant exists, as the directory keeps it in the state Redis: nothing must be made for
// one that does not, since a misspelt tenant would swallow logs, and wait for whoever gets that
// name later. Thread-safe; may wait for Redis.
class KnownTenants {
 public:
  explicit KnownTenants(std::shared_ptr<redis::Pool> state) : state_(std::move(state)) {}

  // True also where Redis cannot be asked: what needs it fails by itself and says why. Yes is
  // remembered, tenants do not go away; no is asked again.
  bool Exists(std::string_view tenant) const;

 private:
  const std::shared_ptr<redis::Pool> state_;
  mutable std::mutex mutex_;
  mutable StringSet seen_;
};

}  // namespace yagura::store
