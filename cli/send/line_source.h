#pragma once

#include <cstdint>
#include <fstream>
#include <istream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace yagura::cli {

// The lines of files, one file after the other, the whole as often as asked. Files whose names end
// in ".zst" are unpacked.
class LineSource {
 public:
  // "-" is standard input, which cannot be repeated. FILE_UNREADABLE where a file cannot be read,
  // or is packed otherwise.
  static absl::StatusOr<LineSource> Open(std::vector<std::string> files, int repeat);
  static constexpr size_t kMaxLine = 1 << 20;
  static constexpr size_t kAnyLength = SIZE_MAX;
  // The next line without its line end; false at the end. Longer lines are cut.
  bool Next(std::string& line, size_t longest = kMaxLine);
  // How many files have been begun: the number changes with the first line of a file.
  size_t opened() const { return opened_; }
  // Lines given so far that are longer than the suite keeps (it cuts them and marks them
  // TRUNCATED).
  uint64_t long_lines() const { return long_lines_; }
  // What the suite keeps of a line.
  static constexpr size_t kKeptBytes = 64 * 1024;
  // After the end: DATA_LOSS (FILE_DAMAGED) names the files that are damaged; what came before the
  // damage, and the other files, have been given.
  const absl::Status& status() const { return status_; }
  // Bytes that there are to read (of packed files: once unpacked), 0 where not known (standard
  // input).
  uint64_t total_bytes() const { return total_bytes_; }

 private:
  LineSource(std::vector<std::string> files, int repeat)
      : files_(std::move(files)), repeat_(repeat) {}
  bool OpenNext();
  void NoteDamage(const std::string& file);

  std::vector<std::string> files_;
  int repeat_;
  uint64_t total_bytes_ = 0;
  uint64_t long_lines_ = 0;
  size_t file_ = 0;
  size_t opened_ = 0;
  int round_ = 0;
  std::unique_ptr<std::istream> stream_;
  absl::Status status_;
  std::set<std::string> damaged_;
  std::istream* in_ = nullptr;
};

}  // namespace yagura::cli
