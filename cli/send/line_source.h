#pragma once

#include <fstream>
#include <istream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace yagura::cli {

// The lines of files, one file after the other, the whole as often as asked.
class LineSource {
 public:
  // "-" is standard input, which cannot be repeated. NOT_FOUND where a file cannot be read.
  static absl::StatusOr<LineSource> Open(std::vector<std::string> files, int repeat);
  // The next line without its line end; false at the end. Lines of more than 1 MiB are cut.
  bool Next(std::string& line);
  // Bytes that there are to read, 0 where not known (standard input).
  uint64_t total_bytes() const { return total_bytes_; }

 private:
  LineSource(std::vector<std::string> files, int repeat)
      : files_(std::move(files)), repeat_(repeat) {}
  bool OpenNext();

  std::vector<std::string> files_;
  int repeat_;
  uint64_t total_bytes_ = 0;
  size_t file_ = 0;
  int round_ = 0;
  std::ifstream stream_;
  std::istream* in_ = nullptr;
};

}  // namespace yagura::cli
