#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/stream/topic.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::stream {

// Appends entries to the shards of one topic. Thread-safe.
class Producer {
 public:
  struct Options {
    // How long a key is remembered, at least (and a quarter longer at most); the same key again
    // within it is not appended twice. Costs the flow Redis some 11 bytes an entry where they are
    // many, up to 160 where they are few. The same for all producers of a topic.
    std::chrono::seconds dedup_window{24 * 3600};
    // Appends are refused with RESOURCE_EXHAUSTED (FLOW_FULL) while the flow Redis uses more than
    // this many bytes; checked at most every 100 ms. 0: no limit of ours.
    uint64_t memory_budget_bytes = 2ull << 30;
  };
  Producer(std::shared_ptr<redis::Pool> flow, Topic topic, Options options);
  ~Producer();

  struct Item {
    int shard;
    std::string_view key;
    std::string_view payload;
  };
  // Durable as the flow Redis is (AOF) once it returns. EntryId() (0-0) where `key` was seen before
  // and nothing was appended. UNAVAILABLE: may or may not have been appended; retry with the same
  // key.
  absl::StatusOr<EntryId> Append(int shard, std::string_view key, std::string_view payload);
  // One round trip for all of them; answers in order.
  std::vector<absl::StatusOr<EntryId>> AppendAll(std::span<const Item> items);

  struct Appended {
    bool known = false;        // the request was appended before: nothing was done
    std::vector<EntryId> ids;  // else, as Append's
  };
  // What belongs to one request, which its sender may send again under the same name whatever
  // entries it becomes by then: all of it at once, or nothing where the streams have the request.
  // One round trip; it blocks Redis for as long as it takes. FAILED_PRECONDITION
  // (REQUEST_TOO_LARGE, SHARDS_APART): not in this way, with nothing done.
  absl::StatusOr<Appended> AppendRequest(std::string_view request, std::span<const Item> items);

  const Topic& topic() const { return topic_; }

 private:
  struct Impl;
  const Topic topic_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace yagura::stream
