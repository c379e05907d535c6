#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace yagura::redis {

// A Redis answer as a value. Error replies never become a Reply: they are a Status (see
// connection.h).
struct Reply {
  enum class Type { kNil, kInteger, kString, kStatus, kArray };

  Type type = Type::kNil;
  int64_t integer = 0;       // kInteger
  std::string text;          // kString (any bytes) and kStatus
  std::vector<Reply> items;  // kArray

  bool is_nil() const { return type == Type::kNil; }
};

}  // namespace yagura::redis
