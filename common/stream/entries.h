#pragma once

#include <vector>

#include "absl/status/statusor.h"

#include "common/stream/topic.h"

namespace yagura::redis {
struct Reply;
}

namespace yagura::stream {

// The items of an answer to XREAD or XRANGE; moves out of it. INTERNAL where it is none.
absl::StatusOr<std::vector<Entry>> ParseEntries(redis::Reply& list);

}  // namespace yagura::stream
