// Any two texts: their difference applied to the first gives the second. Any text as a patch: it
// fits, or it is refused.
//
// Input: the two texts, parted by a zero byte.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "services/config/domain/unified_diff.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace config = yagura::config;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t cut = std::min(input.find('\0'), input.size());
  const std::string_view base = input.substr(0, cut);
  const std::string_view other = input.substr(std::min(cut + 1, input.size()));
  const config::UnifiedDiff diff = config::DiffLines(base, other, "base", "other");
  if (diff.text.empty()) {
    if (base != other) std::abort();
  } else {
    const auto applied = config::ApplyPatch("patch", base, diff.text);
    if (!applied.ok() || *applied != other) std::abort();
  }
  const auto applied = config::ApplyPatch("patch", base, other);
  if (!applied.ok() && applied.status().code() != absl::StatusCode::kInvalidArgument) std::abort();
  return 0;
}
