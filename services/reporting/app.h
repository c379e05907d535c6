#pragma once

#include <memory>

#include "absl/status/statusor.h"

#include "common/rpc/app.h"
#include "services/reporting/settings.h"

namespace yagura::reporting {

// The service over a process's shared parts. Opens its folder of files ("<data folder>/reports"),
// so it can fail; connects to nothing yet.
absl::StatusOr<std::unique_ptr<rpc::App>> NewApp(const Settings& settings,
                                                 const rpc::Platform& platform);

}  // namespace yagura::reporting
