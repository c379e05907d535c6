#pragma once

#include <memory>

#include "absl/status/statusor.h"

#include "common/rpc/app.h"
#include "services/directory/settings.h"

namespace yagura::directory {

// The directory service. Loads (or makes) its signing key at once and adds it to the platform's
// verifier, so that its tokens are good in this process from the first call on. Start waits up to a
// minute for the state Redis, and makes what a first start needs.
absl::StatusOr<std::unique_ptr<rpc::App>> NewApp(const Settings& settings,
                                                 const rpc::Platform& platform);

}  // namespace yagura::directory
