#pragma once

#include <string>
#include <string_view>

#include "common/redis/connection.h"

namespace yagura::redis {

// A Lua script, run by EVALSHA and sent whole only where the server does not know it yet (also
// after a restart or fail-over). Immutable and thread-safe. A script signals a refusal with
// redis.error_reply("YAGURA_REASON text"), which comes back as ABORTED with that reason.
class Script {
 public:
  explicit Script(std::string_view source);
  absl::StatusOr<Reply> Run(Connection& connection, const Args& keys, const Args& args) const;

 private:
  std::string source_;
  std::string sha1_;  // 40 hex digits
};

}  // namespace yagura::redis
