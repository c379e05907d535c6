#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace yagura::store {

// An opaque token: where the next page begins, bound to the query that it belongs to. `query` is
// any text that is the same for the same query.
std::string EncodePageToken(std::string_view query, std::string_view position);
// The position. INVALID_ARGUMENT where the token is not whole or belongs to another query.
absl::StatusOr<std::string> DecodePageToken(std::string_view query, std::string_view token);

}  // namespace yagura::store
