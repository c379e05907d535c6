#pragma once

#include <memory>

#include "common/rpc/app.h"
#include "services/detection/settings.h"

namespace yagura::detection {

// The detection service: DetectionService, the two workers, the rules of the content folder.
std::unique_ptr<rpc::App> MakeApp(const rpc::Platform& platform, Settings settings);

}  // namespace yagura::detection
