#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/redis/reply.h"

struct redisContext;

namespace yagura::redis {

// Where a Redis is and how to talk to it.
struct Endpoint {
  // "unix:/path", "tcp:127.0.0.1:6379", or "sentinel:master-name@host:port,host:port": the master
  // is then asked of the Sentinels at every connect, and its ROLE is checked.
  std::string address;
  std::string username;           // empty: the default user
  std::string password;           // empty: no AUTH; never logged
  std::string sentinel_password;  // for the Sentinels themselves; empty: no AUTH
  std::chrono::milliseconds connect_timeout{2000};
  // A command that takes longer fails and ends its connection. Blocking reads add their own BLOCK.
  std::chrono::milliseconds command_timeout{5000};
  std::string client_name = "yagura";
};

// One argument list; every argument is binary-safe.
using Args = std::vector<std::string_view>;

// One connection, for one thread at a time, movable. After an I/O error or time-out it is broken
// for good: `healthy()` is false, every command answers UNAVAILABLE, and the owner makes a new one.
// A master that became a replica breaks it too, so that the next one asks for the new master.
//
// Errors: UNAVAILABLE (REDIS_UNREACHABLE, REDIS_TIMEOUT, REDIS_LOADING, REDIS_READONLY, REDIS_BUSY
// and the like), RESOURCE_EXHAUSTED (REDIS_OUT_OF_MEMORY), ABORTED for the error replies of our own
// scripts that begin with "YAGURA_" (the reason is that whole first word), INTERNAL for any other
// error reply (the reason is "REDIS_" and its first word: REDIS_WRONGTYPE, REDIS_BUSYGROUP).
// UNAVAILABLE after a write was sent means that it may or may not have been done.
class Connection {
 public:
  static absl::StatusOr<Connection> Connect(const Endpoint& endpoint);
  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  ~Connection();

  absl::StatusOr<Reply> Command(const Args& args);
  // For XREAD BLOCK and the like: waits `block` longer than the command time-out.
  absl::StatusOr<Reply> BlockingCommand(const Args& args, std::chrono::milliseconds block);
  // Sends all, then reads all: one round trip. Answers in order, each on its own.
  std::vector<absl::StatusOr<Reply>> Pipeline(std::span<const Args> commands);

  bool healthy() const { return context_ != nullptr; }
  // For an idle connection: false where it is broken or the peer has closed it meanwhile.
  bool StillOpen() const;

 private:
  struct FreeContext {
    void operator()(redisContext* context) const;
  };
  using Context = std::unique_ptr<redisContext, FreeContext>;
  Connection(Context context, Endpoint endpoint);
  static absl::StatusOr<Connection> Open(const Endpoint& endpoint, const std::string& target);
  static absl::StatusOr<Connection> ConnectToSentinel(const Endpoint& endpoint,
                                                      std::string_view host_port);
  friend absl::StatusOr<std::string> FindMaster(const Endpoint& endpoint);
  absl::Status Authenticate();
  absl::Status Introduce();
  absl::Status Send(std::string_view bytes, std::chrono::steady_clock::time_point deadline);
  absl::StatusOr<Reply> Receive(std::chrono::steady_clock::time_point deadline);
  absl::Status Broken(std::string_view reason, std::string_view what);

  Context context_;
  Endpoint endpoint_;
};

}  // namespace yagura::redis
