#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/statusor.h"

#include "common/event/batch_codec.h"

// Parts of a batch as batches, for finding the event that makes a batch fail. A part has the header
// of its batch, so that an event of it is known by another id than in the whole: its index there
// must be kept beside it.
namespace yagura::event {

// The events `rows`, ascending, of the batch. INVALID_ARGUMENT (BAD_BATCH) where it is broken.
absl::StatusOr<std::string> CopyEvents(BatchReader& batch, std::span<const uint32_t> rows);

// One event for a dead letter, of about 100 KiB at most: a longer raw line is cut, and fields that
// are longer altogether are left out. An event that cannot be read is told without its values.
std::string CopyEventBounded(BatchReader& batch, uint32_t row);

}  // namespace yagura::event
