#pragma once

#include <memory>

#include "absl/status/statusor.h"

#include "common/rpc/app.h"
#include "services/config/settings.h"

namespace yagura::config {

// The service over a process's shared parts. Reads or makes the key-encryption key; connects to
// nothing yet. FAILED_PRECONDITION where the key file cannot be used.
absl::StatusOr<std::unique_ptr<rpc::App>> NewApp(const Settings& settings,
                                                 const rpc::Platform& platform);

}  // namespace yagura::config
