#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/redis/connection.h"

namespace yagura::redis {

// A Lua script, run by EVALSHA and sent whole only where the server does not know it yet (also
// after a restart or fail-over). Immutable and thread-safe. A script signals a refusal with
// redis.error_reply("YAGURA_REASON text"), which comes back as ABORTED with that reason.
class Script {
 public:
  explicit Script(std::string_view source);
  absl::StatusOr<Reply> Run(Connection& connection, const Args& keys, const Args& args) const;

  struct Call {
    Args keys;
    Args args;
  };
  // Several calls in one round trip, answers in order. Where the server did not know the script,
  // the calls are made again one by one, so calls that must keep an order among themselves
  // do not belong into one RunAll.
  std::vector<absl::StatusOr<Reply>> RunAll(Connection& connection,
                                            std::span<const Call> calls) const;

  // For pipelines of the caller's own; REDIS_NOSCRIPT tells that Run is needed first.
  const std::string& sha1() const { return sha1_; }

 private:
  std::string source_;
  std::string sha1_;  // 40 hex digits
};

}  // namespace yagura::redis
