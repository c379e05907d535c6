#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

struct redisContext;

namespace yagura::redis {

struct Endpoint;

// The whole data of a Redis as of one moment, in its own RDB format, over the replication protocol:
// works over any connection, needs no disk space at the server, and stops nobody there. Needs Redis
// 7.0 or later, and a user who may PSYNC. For one thread at a time.
//
// Errors: UNAVAILABLE (REDIS_UNREACHABLE, REDIS_TIMEOUT), FAILED_PRECONDITION (REDIS_NO_DUMP: the
// server refuses, with its words), CANCELLED.
class RdbDump {
 public:
  // Returns once the server has fixed the moment (it has forked): what is written afterwards is not
  // in the dump. A server that just writes a snapshot of its own finishes that first, and one with
  // `repl-diskless-sync-delay` waits for that long; DEADLINE_EXCEEDED after `patience`.
  static absl::StatusOr<RdbDump> Begin(const Endpoint& endpoint, std::chrono::milliseconds patience,
                                       const std::stop_token& stop);
  RdbDump(RdbDump&&) noexcept;
  RdbDump& operator=(RdbDump&&) noexcept;
  ~RdbDump();

  // "replication id:offset" of the moment.
  const std::string& position() const { return position_; }

  // Hands the bytes over, piece by piece, to the end. Redis ends what is not read for its
  // `repl-timeout` (a minute). An error of the sink ends the dump and is returned.
  using Sink = std::function<absl::Status(std::string_view)>;
  absl::Status Read(const Sink& sink, const std::stop_token& stop);

 private:
  struct FreeContext {
    void operator()(redisContext* context) const;
  };
  explicit RdbDump(std::unique_ptr<redisContext, FreeContext> context);
  absl::Status Send(std::string_view bytes);
  // More bytes into buffer_. UNAVAILABLE at the end of the stream.
  absl::Status Fill(std::chrono::steady_clock::time_point deadline, const std::stop_token& stop);
  // The next line that is not empty: the server sends empty ones while it prepares.
  absl::StatusOr<std::string> Line(std::chrono::steady_clock::time_point deadline,
                                   const std::stop_token& stop);
  absl::Status Ask(std::string_view command, std::chrono::steady_clock::time_point deadline,
                   const std::stop_token& stop);
  absl::Status ReadLength(uint64_t length, const Sink& sink, const std::stop_token& stop);
  absl::Status ReadToMark(std::string_view mark, const Sink& sink, const std::stop_token& stop);

  std::unique_ptr<redisContext, FreeContext> context_;
  std::string buffer_;  // read and not handed over yet
  std::string position_;
};

}  // namespace yagura::redis
