#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/text/text.h"

namespace yagura::stream {

// The number named in an answer of Redis's INFO: "used_memory:12345".
inline std::optional<uint64_t> InfoNumber(std::string_view info, std::string_view name) {
  for (std::string_view line : Split(info, '\n')) {
    line = Trim(line);
    if (line.starts_with(name) && line.substr(name.size()).starts_with(":")) {
      return ParseNumber<uint64_t>(line.substr(name.size() + 1));
    }
  }
  return std::nullopt;
}

}  // namespace yagura::stream
