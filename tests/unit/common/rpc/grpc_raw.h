#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace yagura::rpc {

// One request and one answer as bytes, without a token.
absl::StatusOr<std::string> CallRaw(int port, const std::string& method,
                                    const std::string& request);

}  // namespace yagura::rpc
