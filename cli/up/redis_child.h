#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "common/log/log.h"
#include "common/process/supervisor.h"

namespace yagura::cli {

// A redis-server of our own: reachable by its Unix socket alone, append-only file written before
// each answer and synced every second, nothing ever evicted.
std::unique_ptr<Supervisor> MakeRedisChild(const std::string& name,
                                           const std::filesystem::path& folder,
                                           const std::filesystem::path& socket,
                                           const std::filesystem::path& log_file, Logger logger);

}  // namespace yagura::cli
