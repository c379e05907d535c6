#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace yagura::directory {

struct CsvRow {
  int line = 0;  // on which it begins, from 1
  std::vector<std::string> cells;
};

struct CsvLimits {
  size_t bytes = 8u << 20;
  size_t rows = 50'001;  // with the header
  size_t columns = 64;
  size_t cell_bytes = 8192;
};

// RFC 4180: commas, quotes doubled within quotes, line ends LF or CRLF, also within quotes. A byte
// order mark is skipped, blank lines are left out, cells outside quotes are trimmed.
// INVALID_ARGUMENT with the line where the text is not UTF-8, too large, or a quote stands where
// none may.
absl::StatusOr<std::vector<CsvRow>> ParseCsv(std::string_view text, const CsvLimits& limits = {});

}  // namespace yagura::directory
