#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/stream/topic.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::stream {

// Entries that `reader` has not committed, over all shards. What Redis cannot tell exactly (a group
// that was moved by hand) counts with the whole length of its shard.
absl::StatusOr<uint64_t> ReaderLag(redis::Pool& flow, const Topic& topic, std::string_view reader);

}  // namespace yagura::stream
