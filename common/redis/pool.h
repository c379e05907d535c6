#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "common/redis/connection.h"

namespace yagura::redis {

// A bounded set of connections to one Redis. Thread-safe. Broken connections are dropped and made
// anew on the next lease; an idle one older than 30 s is checked with PING before it is handed out.
class Pool {
 public:
  explicit Pool(Endpoint endpoint, size_t max_connections = 16);
  ~Pool();

  // Exclusive use of one connection; gives it back (or drops it, if broken) when destroyed.
  class Lease {
   public:
    Lease(Lease&&) noexcept;
    Lease& operator=(Lease&&) = delete;
    ~Lease();
    Connection* operator->() { return &connection_; }
    Connection& operator*() { return connection_; }

   private:
    friend class Pool;
    Lease(Pool* pool, Connection connection);
    Pool* pool_;
    Connection connection_;
  };

  // Waits up to `timeout` for a free connection. UNAVAILABLE where Redis cannot be reached,
  // RESOURCE_EXHAUSTED (REDIS_POOL_EXHAUSTED) where all are in use for that long.
  absl::StatusOr<Lease> Acquire(std::chrono::milliseconds timeout = std::chrono::seconds(2));

  // Lease, one command, give back.
  absl::StatusOr<Reply> Command(const Args& args);
  std::vector<absl::StatusOr<Reply>> Pipeline(std::span<const Args> commands);

  const Endpoint& endpoint() const { return endpoint_; }

 private:
  struct Idle;
  void Return(Connection connection);
  absl::StatusOr<Connection> TakeOrConnect();
  void Forget();

  const Endpoint endpoint_;
  const size_t max_connections_;
  std::mutex mutex_;
  std::condition_variable freed_;
  std::vector<Idle> idle_;
  size_t in_use_ = 0;
};

}  // namespace yagura::redis
