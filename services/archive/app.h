#pragma once

#include <memory>

#include "absl/status/statusor.h"

#include "common/rpc/app.h"
#include "services/archive/settings.h"

namespace yagura::archive {

// The service over a process's shared parts. Opens its spool, so it can fail; connects to nothing
// yet.
absl::StatusOr<std::unique_ptr<rpc::App>> NewApp(const Settings& settings,
                                                 const rpc::Platform& platform);

}  // namespace yagura::archive
