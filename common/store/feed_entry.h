#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/redis/reply.h"
#include "yagura/audit/v1/audit.pb.h"

namespace yagura::store {

// The sequence number in a stream id, "17-0".
std::optional<uint64_t> SequenceOfId(std::string_view id);

// An entry as XRANGE and XREAD answer it. DATA_LOSS where it is none of ours.
absl::StatusOr<audit::v1::Record> ParseFeedEntry(const redis::Reply& entry,
                                                 std::string_view tenant);

}  // namespace yagura::store
