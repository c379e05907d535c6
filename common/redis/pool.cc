#include "common/redis/pool.h"

#include <algorithm>
#include <utility>

#include "common/status/status.h"

namespace yagura::redis {
namespace {
constexpr auto kCheckAfter = std::chrono::seconds(30);
}  // namespace

struct Pool::Idle {
  Connection connection;
  std::chrono::steady_clock::time_point since;
};

Pool::Pool(Endpoint endpoint, size_t max_connections)
    : endpoint_(std::move(endpoint)), max_connections_(std::max<size_t>(max_connections, 1)) {}
Pool::~Pool() = default;

Pool::Lease::Lease(Pool* pool, Connection connection)
    : pool_(pool), connection_(std::move(connection)) {}
Pool::Lease::Lease(Lease&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), connection_(std::move(other.connection_)) {}
Pool::Lease::~Lease() {
  if (pool_ != nullptr) pool_->Return(std::move(connection_));
}

StatusOr<Pool::Lease> Pool::Acquire(std::chrono::milliseconds timeout) {
  {
    std::unique_lock lock(mutex_);
    if (!freed_.wait_for(lock, timeout, [this] { return in_use_ < max_connections_; })) {
      return MakeError(absl::StatusCode::kResourceExhausted, "REDIS_POOL_EXHAUSTED",
                       "redis: all connections are in use");
    }
    ++in_use_;
  }
  auto connection = TakeOrConnect();
  if (!connection.ok()) {
    Forget();
    return connection.status();
  }
  return Lease(this, *std::move(connection));
}

// Called with a place counted in `in_use_`, outside the lock: connecting may take a while.
StatusOr<Connection> Pool::TakeOrConnect() {
  while (true) {
    std::vector<Idle> taken;
    {
      const std::lock_guard lock(mutex_);
      if (idle_.empty()) break;
      taken.push_back(std::move(idle_.back()));
      idle_.pop_back();
    }
    Idle& idle = taken.front();
    if (!idle.connection.StillOpen()) continue;
    const auto age = std::chrono::steady_clock::now() - idle.since;
    if (age > kCheckAfter && !idle.connection.Command({"PING"}).ok()) continue;
    return std::move(idle.connection);
  }
  return Connection::Connect(endpoint_);
}

void Pool::Return(Connection connection) {
  {
    const std::lock_guard lock(mutex_);
    --in_use_;
    if (connection.healthy()) {
      idle_.push_back({std::move(connection), std::chrono::steady_clock::now()});
    }
  }
  freed_.notify_one();
}

void Pool::Forget() {
  {
    const std::lock_guard lock(mutex_);
    --in_use_;
  }
  freed_.notify_one();
}

StatusOr<Reply> Pool::Command(const Args& args) {
  YAGURA_ASSIGN_OR_RETURN(Lease lease, Acquire());
  return lease->Command(args);
}

std::vector<StatusOr<Reply>> Pool::Pipeline(std::span<const Args> commands) {
  auto lease = Acquire();
  if (!lease.ok()) return {commands.size(), lease.status()};
  return (*lease)->Pipeline(commands);
}

}  // namespace yagura::redis
