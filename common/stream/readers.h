#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/stream/topic.h"

namespace yagura::redis {
class Connection;
class Pool;
}  // namespace yagura::redis

namespace yagura::stream {

// Where a reader of one shard stands.
struct Backlog {
  int shard = 0;
  EntryId committed;
  // Behind that; what Redis cannot tell exactly (a group that was moved by hand) counts with the
  // whole length of the shard.
  uint64_t entries = 0;
};
// Of the shards of which `reader` has not committed all.
absl::StatusOr<std::vector<Backlog>> ReaderBacklog(redis::Pool& flow, const Topic& topic,
                                                   std::string_view reader);
absl::StatusOr<std::vector<Backlog>> ReaderBacklog(redis::Connection& flow, const Topic& topic,
                                                   std::string_view reader);
// At most `count` entries of a shard behind `after`, in order. Needs no lease.
absl::StatusOr<std::vector<Entry>> Peek(redis::Connection& flow, const Topic& topic, int shard,
                                        EntryId after, size_t count);
// Whether all of these are entries of the shard.
absl::StatusOr<bool> HasEntries(redis::Connection& flow, const Topic& topic, int shard,
                                std::span<const EntryId> ids);
// Which start of which server answers, with which history of its data. Another one after a restart,
// a failover or a new synchronisation with another master: ids of entries may then stand for others
// than before.
absl::StatusOr<std::string> ServerHistory(redis::Connection& flow);
// Entries that `reader` has not committed, over all shards; as Backlog has them.
absl::StatusOr<uint64_t> ReaderLag(redis::Pool& flow, const Topic& topic, std::string_view reader);

}  // namespace yagura::stream
