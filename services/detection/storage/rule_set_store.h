#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/redis/script.h"
#include "common/stream/topic.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::detection {

// Topic of the control entries by which a rule set takes effect; their body is its version.
inline constexpr std::string_view kRuleSetControl = "rule-set";

// One rule of a rule set.
struct RuleSetItem {
  std::string tenant;  // tenant id; empty: all tenants
  std::string digest;  // SHA-256 of the rule's text, hex
};
// 64 hex digits.
std::string DigestOf(std::string_view text);
// Names a rule set by what is in it, in any order: 32 hex digits.
std::string RuleSetVersion(std::vector<RuleSetItem> items);

// From this entry of an event shard on, a rule set is in force.
struct RuleSetSwitch {
  stream::EntryId at;
  std::string version;
};

// The rule sets that entries of the event streams are matched by, in the flow Redis beside them: a
// set is kept as long as an entry that `reader` has not committed may refer to it. In each shard a
// control entry says where which version takes effect; an index of these entries tells the version
// at any place of the shard, so that a checkpoint names the version, too. Thread-safe.
class RuleSetStore {
 public:
  // `grace`: how long a set that was written and that no shard refers to is kept, for who is about
  // to announce it: at least half of it from any Save on.
  RuleSetStore(std::shared_ptr<redis::Pool> flow, stream::Topic events, std::string reader,
               std::chrono::milliseconds grace = std::chrono::minutes(10));

  // `texts`: those of the items, in their order. Durable as the flow Redis is. Writes nothing where
  // the set is there and was written less than half the grace ago.
  absl::Status Save(const std::string& version, const std::vector<RuleSetItem>& items,
                    const std::vector<std::string_view>& texts) const;
  // NOT_FOUND where it is not kept.
  absl::StatusOr<std::vector<RuleSetItem>> Items(const std::string& version) const;
  // In the order of the digests; NOT_FOUND where one is not kept.
  absl::StatusOr<std::vector<std::string>> Texts(const std::vector<std::string>& digests) const;

  // Appends the control entry to every shard whose latest announces another version. The set must
  // have been saved.
  absl::Status Announce(const std::string& version) const;
  // In order; what is over before the committed place may be missing.
  absl::StatusOr<std::vector<RuleSetSwitch>> Switches(int shard) const;

  // Forgets what no entry can refer to any more.
  absl::Status Prune() const;

 private:
  absl::StatusOr<std::vector<std::string>> PruneShard(int shard) const;

  const std::shared_ptr<redis::Pool> flow_;
  const stream::Topic events_;
  const std::string reader_;
  const std::chrono::milliseconds grace_;
  const redis::Script save_;
  const redis::Script announce_;
  const redis::Script forget_;
};

}  // namespace yagura::detection
