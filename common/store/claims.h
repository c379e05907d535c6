#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

#include "common/store/compiled_kind.h"

namespace google::protobuf {
class Message;
}

namespace yagura::store {

// A claim that a write makes anew, as the write script checks it. Members of the claims' sorted set
// are 32 hex digits of what is claimed, 32 characters of the group, a zero byte, the id path.
struct ClaimGuard {
  Claim claim;
  std::string what;    // what members of all who have the claim begin with
  std::string shared;  // what members of those begin with who may share it; empty: nobody may
};

// The members for a resource; none where the kind has no claims.
std::vector<std::string> ClaimMembers(const CompiledKind& kind,
                                      const google::protobuf::Message& message,
                                      std::string_view id_path);

// For the claims of `after` that `before` (may be null) has not.
std::vector<ClaimGuard> GuardsOf(const CompiledKind& kind, const google::protobuf::Message* before,
                                 const google::protobuf::Message& after);

// ALREADY_EXISTS for what the write script said ("<number of the guard, from 1> <id path>").
absl::Status ClaimedBy(const CompiledKind& kind, std::string_view tenant,
                       const std::vector<ClaimGuard>& guards, std::string_view said);

}  // namespace yagura::store
