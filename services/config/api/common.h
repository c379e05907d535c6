#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/rpc/call.h"
#include "common/rpc/standard_methods.h"

namespace yagura::config {

// Who is behind a call: the person where a service calls for one.
std::string ActorOf(const rpc::Call& call);

// `id`, or a new ULID where it is empty. INVALID_ARGUMENT for `field`.
absl::StatusOr<std::string> IdOrNew(std::string_view field, const std::string& id);

using rpc::CheckEtag;
using rpc::ListPage;
using rpc::QueryOf;

}  // namespace yagura::config
