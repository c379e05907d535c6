#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::detection {

// What probes of hunts know beside their results, for whoever goes on with a tenant:
// y:{<tenant>}:detection:hunt-state:<hunt> in the state Redis, a hash of pieces. A checkpoint names
// the pieces that belong to it, so that what is written for one that is never saved does no harm.
// Forgotten a week after the last write. Thread-safe.
class HuntStates {
 public:
  explicit HuntStates(std::shared_ptr<redis::Pool> state) : state_(std::move(state)) {}

  // `result`: "tenants/{tenant}/huntResults/{hunt}"; `id`: new with every call. How many pieces it
  // made of `bytes`.
  absl::StatusOr<uint32_t> Save(std::string_view result, std::string_view id,
                                std::string_view bytes) const;
  // NOT_FOUND where a piece is missing.
  absl::StatusOr<std::string> Load(std::string_view result, std::string_view id,
                                   uint32_t pieces) const;
  // Of whichever id, also of those that no checkpoint names: what they are called.
  absl::StatusOr<std::vector<std::string>> Pieces(std::string_view result) const;
  static bool IsOf(std::string_view piece, std::string_view id);
  // Some pieces, or as many as Save made for `id`, or all.
  absl::Status Drop(std::string_view result, const std::vector<std::string>& pieces) const;
  absl::Status Drop(std::string_view result, std::string_view id, uint32_t pieces) const;
  absl::Status DropAll(std::string_view result) const;

 private:
  const std::shared_ptr<redis::Pool> state_;
};

}  // namespace yagura::detection
