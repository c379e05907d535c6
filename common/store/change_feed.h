#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/log/log.h"
#include "common/store/store.h"
#include "yagura/audit/v1/audit.pb.h"

namespace yagura::store {

// Appends what changed nothing but must be on record (reads, searches, denials, log-ins). One round
// trip for all of them; they need not be of one tenant.
absl::Status AppendRecords(redis::Pool& state, const std::vector<audit::v1::Record>& records);

// Records of one tenant after `sequence`, oldest first, at most `limit`.
absl::StatusOr<std::vector<audit::v1::Record>> ReadRecords(redis::Pool& state,
                                                           std::string_view tenant,
                                                           uint64_t after_sequence, size_t limit);

// Drops the records up to `sequence` that have been sealed and archived.
absl::Status TrimRecords(redis::Pool& state, std::string_view tenant, uint64_t up_to_sequence);

// Follows the feeds of all tenants (new tenants too) on one thread and tells its subscribers, in
// feed order per tenant, within about 50 ms. A reconnect loses nothing that is still in the feed;
// where records were trimmed before they were read, or Redis came back with older data, subscribers
// get OnReset and must read all of the tenant anew: what has changed meanwhile is told nowhere
// else.
class FeedFollower {
 public:
  class Subscriber {
   public:
    virtual ~Subscriber() = default;
    virtual void OnRecord(const audit::v1::Record& record) = 0;
    virtual void OnReset(std::string_view tenant) = 0;
    // The tenant is followed from now on: `from_first` from its first record, otherwise from what
    // comes after its present state, which must be read.
    virtual void OnStart(std::string_view tenant, bool /*from_first*/) { OnReset(tenant); }
  };
  FeedFollower(std::shared_ptr<redis::Pool> state, Logger logger);
  ~FeedFollower();
  void Start();
  void Stop();
  // Weak: a subscriber that is gone is dropped. Hears OnStart for every tenant that is followed
  // already, before this returns. Afterwards called on the follower's thread: never block there.
  void Subscribe(std::weak_ptr<Subscriber> subscriber);
  // Returns once everything that was in the feeds when called has been delivered.
  absl::Status CatchUp(std::chrono::milliseconds timeout = std::chrono::seconds(2));

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace yagura::store
