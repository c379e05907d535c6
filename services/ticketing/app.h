#pragma once

#include <memory>

#include "absl/status/statusor.h"

#include "common/rpc/app.h"
#include "services/ticketing/settings.h"

namespace yagura::ticketing {

// The service over a process's shared parts; connects to nothing yet.
absl::StatusOr<std::unique_ptr<rpc::App>> NewApp(const Settings& settings,
                                                 const rpc::Platform& platform);

}  // namespace yagura::ticketing
