#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "common/redis/connection.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::testing {

class Process;

// A real redis-server on a Unix socket in a temporary folder, AOF everysec, stopped and removed
// with the object. Start aborts the test program where redis-server is not installed.
class RedisServer {
 public:
  RedisServer();
  ~RedisServer();
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  redis::Endpoint endpoint() const;
  const std::filesystem::path& folder() const { return folder_; }
  std::shared_ptr<redis::Pool> NewPool(size_t max_connections = 16) const;

  void KillHard();  // SIGKILL
  void Pause();     // SIGSTOP
  void Resume();    // SIGCONT
  void Restart();   // starts again on the same data and waits until it answers

 private:
  void Launch();
  const std::filesystem::path folder_;
  std::unique_ptr<Process> process_;
};

}  // namespace yagura::testing
