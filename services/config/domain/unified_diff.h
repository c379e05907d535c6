#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

// Unified diffs, made and applied.
namespace yagura::config {

struct UnifiedDiff {
  std::string text;  // empty where there is no difference
  int added = 0;     // lines
  int removed = 0;
};

// Shortest difference by lines with three lines of context; texts that differ in more than some
// thousand lines are shown as one block replaced.
UnifiedDiff DiffLines(std::string_view base, std::string_view other, std::string_view base_label,
                      std::string_view other_label);

// INVALID_ARGUMENT for `field` with the line of the patch where it is malformed or does not fit
// exactly.
absl::StatusOr<std::string> ApplyPatch(std::string_view field, std::string_view base,
                                       std::string_view patch);

}  // namespace yagura::config
