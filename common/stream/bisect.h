#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace yagura::stream {

// Whether an error says nothing about what was tried: the same may well succeed later
// (UNAVAILABLE, RESOURCE_EXHAUSTED).
bool IsPassing(const absl::Status& status);

// A piece at fault, and why.
struct Fault {
  uint32_t index;
  absl::Status error;
};

inline constexpr size_t kMaxFaults = 256;

// Tries some pieces together, by their ascending indexes. Must have no effect, or one that may be
// had any number of times.
using Attempt = std::function<absl::Status(std::span<const uint32_t> pieces)>;

// Which of the pieces 0..count-1 make `attempt` fail on their own, in order: by halves, so that few
// faults among many pieces need few attempts. None where only several together fail. The attempt's
// error where that is passing, or ABORTED or CANCELLED. FAILED_PRECONDITION (TOO_MANY_FAULTS)
// beyond `max_faults`: then it is not the pieces that are at fault. Exceptions count as INTERNAL.
absl::StatusOr<std::vector<Fault>> FindFaults(size_t count, const Attempt& attempt,
                                              size_t max_faults = kMaxFaults);

// Of 0..count-1 those that are no fault.
std::vector<uint32_t> WithoutFaults(size_t count, const std::vector<Fault>& faults);

}  // namespace yagura::stream
