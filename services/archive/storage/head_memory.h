#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/redis/script.h"
#include "yagura/archive/v1/proof.pb.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::archive {

// What the state Redis remembers of the last head of each tenant and day: what is cut off the end
// of a chain in the event store, or made anew there, is missed by that; and the highest scheme that
// the day was sealed by, so that nobody who can write there makes a head look like one of a later
// release. Both are only ever raised.
// Thread-safe. Errors: UNAVAILABLE, and DATA_LOSS (HEAD_MEMORY_UNREADABLE).
class HeadMemory {
 public:
  explicit HeadMemory(std::shared_ptr<redis::Pool> state);

  // Releases that did not remember schemes sealed by any up to this one.
  static constexpr uint32_t kSchemeBefore = 3;
  struct Head {
    uint32_t sequence = 0;  // 0: none
    std::string hash;       // 32 bytes
    int64_t expires = 0;    // the latest expire_time of the day's heads, seconds; 0: not known
    uint32_t scheme = kSchemeBefore;  // the highest of its heads up to this one, or that
  };
  // Nothing changes where a later head is remembered. DATA_LOSS (HEAD_DIFFERS) where another one of
  // the same sequence is. `scheme`: the highest of the day's heads up to this one.
  absl::Status Raise(const v1::EventHead& head, int64_t expires, uint32_t scheme) const;
  absl::StatusOr<Head> Recall(std::string_view tenant, int64_t day) const;
  absl::StatusOr<std::map<int64_t, Head>> RecallAll(std::string_view tenant) const;  // by day
  // All tenants that the state Redis knows.
  absl::StatusOr<std::vector<std::string>> Tenants() const;
  absl::Status Forget(std::string_view tenant, const std::vector<int64_t>& days) const;

 private:
  const std::shared_ptr<redis::Pool> state_;
  const redis::Script raise_;
  const redis::Script recall_;
};

// One that is remembered, or is below one, and was not sealed by what it says.
bool ClaimsALaterScheme(const v1::EventHead& head, const HeadMemory::Head& known);

}  // namespace yagura::archive
