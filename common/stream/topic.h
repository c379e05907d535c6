#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace yagura::stream {

// A named work stream in the flow Redis, cut into shards. Within a shard order is kept.
struct Topic {
  std::string name;  // lower-case letters, "events"
  int shards = 4;    // 1..256; a shard is one Redis stream "y:{s<k>}:stream:<name>"
  // Everybody who must have committed an entry before it may be trimmed: ["archive", "detection"].
  std::vector<std::string> readers;
};

// Id of one entry within its shard, as Redis gives it.
struct EntryId {
  uint64_t milliseconds = 0;
  uint64_t sequence = 0;

  auto operator<=>(const EntryId&) const = default;  // NOLINT(modernize-use-nullptr)
  std::string ToString() const;                      // "1700000000000-3"
  static std::optional<EntryId> Parse(std::string_view text);
};

struct Entry {
  EntryId id;
  std::string key;      // what the producer deduplicates by; never empty
  std::string payload;  // opaque
};

// A piece of an entry that is given up while the rest of the entry takes effect: one event of a
// batch.
struct DeadPiece {
  std::string key;      // what to call it: the id of the event
  std::string payload;  // as far as it is worth keeping, some 100 KiB at most
  absl::Status error;   // why
};

// A shard's dead letters beyond these many, or these bytes, go, the oldest first; the latest stays.
inline constexpr int kMaxDeadLetters = 1000;
inline constexpr int kMaxDeadLetterBytes = 16 << 20;

// Key of a shard's stream, "y:{s3}:stream:events".
std::string StreamKey(std::string_view topic, int shard);
// Key of a shard's dead letters, "y:{s3}:dead:events": a stream of {id, reader, error, k, p}.
std::string DeadLetterKey(std::string_view topic, int shard);
// Beside them, "y:{s3}:dead-size:events": a hash of their "bytes" and how many were "dropped" for
// the limits.
std::string DeadLetterSizeKey(std::string_view topic, int shard);
// The shard of a partition value such as "tenant/source": stable over releases.
int ShardOf(std::string_view partition, int shards);

}  // namespace yagura::stream
