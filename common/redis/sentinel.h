#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace yagura::redis {

struct Endpoint;

// Asks the Sentinels of "sentinel:master-name@host:port,host:port", one after the other, where the
// master is now; answers "tcp:host:port". UNAVAILABLE (REDIS_NO_MASTER) where none of them knows.
absl::StatusOr<std::string> FindMaster(const Endpoint& endpoint);

}  // namespace yagura::redis
