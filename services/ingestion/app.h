#pragma once

#include <memory>

#include "absl/status/statusor.h"

#include "common/rpc/app.h"
#include "services/ingestion/settings.h"

namespace yagura::ingestion {

// The ingestion service: IngestionService, the syslog listeners, the spool. Binds its listeners and
// opens its folder ("<data folder>/ingestion"), so it can fail; reads nothing before Start.
absl::StatusOr<std::unique_ptr<rpc::App>> NewApp(const Settings& settings,
                                                 const rpc::Platform& platform);

}  // namespace yagura::ingestion
