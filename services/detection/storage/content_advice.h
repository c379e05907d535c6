#pragma once

#include <filesystem>
#include <memory>

#include "common/log/log.h"
#include "services/detection/domain/advice.h"

namespace yagura::detection {

// Every .yaml file of a folder; empty path: none. What cannot be read is logged and left out.
std::shared_ptr<const AdviceBook> LoadAdvice(const std::filesystem::path& folder,
                                             const Logger& logger);

}  // namespace yagura::detection
