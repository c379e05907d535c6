#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"

#include "services/ingestion/domain/described/description.h"

namespace yagura::ingestion {

// Finds the description of a line by scanning it once for what all recognisers look for
// (RE2::Set), instead of asking one after the other: most lines of a busy source are known to
// none of them. Immutable and thread-safe, but for the scratch, of which each thread has its own.
class RecogniserIndex {
 public:
  // What one search needs; kept so that it need not be made for every line.
  struct Scratch {
    std::vector<int> found;
    std::vector<bool> met;  // by condition
  };

  // In the order of `descriptions`, which must outlive it. RESOURCE_EXHAUSTED where the scanner
  // cannot be made.
  static absl::StatusOr<std::unique_ptr<RecogniserIndex>> Build(
      const std::vector<std::shared_ptr<const Description>>& descriptions);
  ~RecogniserIndex();

  // Position of the first description that recognises the line; the size of the list where none
  // does.
  size_t Find(const LineInput& input, Scratch& scratch) const;

 private:
  struct Parts;
  explicit RecogniserIndex(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace yagura::ingestion
