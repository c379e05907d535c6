#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/redis/script.h"
#include "yagura/archive/internal/v1/archive_state.pb.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::archive {

// How far a tenant's feed has been sealed, and who may seal it: a hash beside the feed in the state
// Redis, so that all that a sealer writes there is fenced by the epoch of its lease. Thread-safe.
class SealStore {
 public:
  explicit SealStore(std::shared_ptr<redis::Pool> state);

  // Where a tenant's chain stands.
  struct Position {
    uint64_t sequence = 0;
    std::string hash;  // H(sequence)
    std::optional<internal::v1::SealPlan> plan;
  };
  struct Lease {
    std::string tenant;
    std::string holder;
    uint64_t epoch = 0;
    std::chrono::milliseconds length{};
  };

  // Takes the lease. UNAVAILABLE (LEASE_HELD) while another has it.
  absl::StatusOr<std::pair<Lease, Position>> Acquire(std::string_view tenant,
                                                     std::string_view holder,
                                                     std::chrono::milliseconds length) const;
  // The following answer ABORTED (LEASE_LOST) once another has the lease, and renew it else.
  absl::Status Plan(const Lease& lease, const internal::v1::SealPlan& plan) const;
  // Moves the position and forgets the plan.
  absl::Status Advance(const Lease& lease, uint64_t sequence, std::string_view hash) const;
  // Redis came back without records that are sealed up to `sealed`, and new ones have taken the
  // numbers after `common`: gives those new numbers behind `sealed`, some hundreds at a time beside
  // the feed, and in the end puts these in the feed's place and moves the position there.
  absl::Status Renumber(const Lease& lease, uint64_t common, uint64_t sealed,
                        std::string_view hash) const;
  void Release(const Lease& lease) const;

  // Drops records up to `sequence` from the feed, some thousands at a time; FAILED_PRECONDITION
  // (NOT_SEALED) beyond the position. The number of records dropped.
  absl::StatusOr<uint64_t> Trim(std::string_view tenant, uint64_t sequence) const;

  absl::StatusOr<Position> Read(std::string_view tenant) const;

  // What the sealer and the lists look at, for many tenants in one round trip.
  struct Feed {
    uint64_t sealed = 0;      // position
    bool planned = false;     // a plan waits to be repeated
    uint64_t newest = 0;      // sequence of the newest record
    uint64_t oldest = 0;      // of the oldest in the feed; 0 where it is empty
    TimePoint oldest_time{};  // its time
  };
  absl::StatusOr<std::map<std::string, Feed>> Look(const std::vector<std::string>& tenants) const;

  // A record as it is stored in the feed.
  struct Entry {
    uint64_t sequence = 0;
    std::string bytes;
  };
  // After `sequence`, oldest first, at most `limit`, and about `max_bytes`.
  absl::StatusOr<std::vector<Entry>> ReadFeed(std::string_view tenant, uint64_t after, size_t limit,
                                              size_t max_bytes) const;

  // Public keys of all sealers by id: 32 bytes each.
  absl::Status PutKey(std::string_view id, std::string_view public_key) const;
  absl::StatusOr<std::map<std::string, std::string>> Keys() const;

 private:
  absl::StatusOr<redis::Reply> Fenced(const redis::Script& script, const Lease& lease,
                                      const std::vector<std::string>& more_keys,
                                      const std::vector<std::string>& more_args) const;

  const std::shared_ptr<redis::Pool> state_;
  const redis::Script acquire_;
  const redis::Script plan_;
  const redis::Script advance_;
  const redis::Script renumber_;
  const redis::Script release_;
  const redis::Script trim_;
};

}  // namespace yagura::archive
