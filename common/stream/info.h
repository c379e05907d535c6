#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/text/text.h"

namespace yagura::stream {

// What an answer of Redis's INFO says of a name ("run_id:7f09..."); empty where it does not. Points
// into the answer.
inline std::string_view InfoText(std::string_view info, std::string_view name) {
  for (std::string_view line : Split(info, '\n')) {
    line = Trim(line);
    if (line.starts_with(name) && line.substr(name.size()).starts_with(":")) {
      return line.substr(name.size() + 1);
    }
  }
  return {};
}

// The number named there: "used_memory:12345".
inline std::optional<uint64_t> InfoNumber(std::string_view info, std::string_view name) {
  return ParseNumber<uint64_t>(InfoText(info, name));
}

}  // namespace yagura::stream
