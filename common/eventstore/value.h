#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock/clock.h"

namespace yagura::eventstore {

// One value of a result. Numbers of every width become 64 bits; times become nanoseconds.
struct Value {
  enum class Kind {
    kNull,
    kUnsigned,  // UInt8..64, Bool
    kSigned,    // Int8..64, Enum8 and Enum16 (the number)
    kDouble,    // Float32, Float64
    kText,      // String, FixedString, UUID (as text), IPv4 and IPv6 (4 or 16 bytes, network order)
    kTime,      // Date, DateTime, DateTime64: nanoseconds since 1970 UTC
    kList       // Array, Tuple; Map as key, value, key, value...
  };

  Kind kind = Kind::kNull;
  uint64_t bits = 0;  // kUnsigned, kSigned and kTime
  double real = 0;    // kDouble
  std::string text;
  std::vector<Value> items;

  uint64_t AsUnsigned() const { return bits; }
  int64_t AsSigned() const { return static_cast<int64_t>(bits); }
  TimePoint AsTime() const { return TimePoint(std::chrono::nanoseconds(AsSigned())); }
  const std::string& AsText() const { return text; }
};

using Row = std::vector<Value>;

// A column of a result: its name and the store's name of its type.
struct ColumnInfo {
  std::string name;
  std::string type;
};

}  // namespace yagura::eventstore
