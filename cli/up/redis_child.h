#pragma once

#include <filesystem>
#include <string>

#include "common/log/log.h"
#include "common/process/supervisor.h"
#include "common/redis/aof_sync.h"

namespace yagura::cli {

// A redis-server of our own: reachable by its Unix socket alone, every write in the append-only
// file before its answer, the file synced once a second from here (docs/adr/0002), nothing ever
// evicted.
class RedisChild {
 public:
  RedisChild(const std::string& name, const std::filesystem::path& folder,
             const std::filesystem::path& socket, const std::filesystem::path& log_file,
             Logger logger);
  // Returns when it answers, also after it has loaded a long append-only file.
  absl::Status Start() { return supervisor_.Start(); }
  pid_t pid() const { return supervisor_.pid(); }

 private:
  redis::AofSync sync_;  // after the child has ended: a last time
  Supervisor supervisor_;
};

}  // namespace yagura::cli
