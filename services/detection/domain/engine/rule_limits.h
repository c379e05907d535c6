#pragma once

#include <cstddef>

namespace yagura::detection {

// Bytes that a rule's text may have, whoever reads it.
inline constexpr size_t kMaxRuleText = 512 * 1024;

}  // namespace yagura::detection
