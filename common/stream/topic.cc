#include "common/stream/topic.h"

#include "fmt/format.h"

#include "common/text/text.h"

namespace yagura::stream {

std::string EntryId::ToString() const { return fmt::format("{}-{}", milliseconds, sequence); }

std::optional<EntryId> EntryId::Parse(std::string_view text) {
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto milliseconds = ParseNumber<uint64_t>(text.substr(0, dash));
  const auto sequence = ParseNumber<uint64_t>(text.substr(dash + 1));
  if (!milliseconds || !sequence) return std::nullopt;
  return EntryId{*milliseconds, *sequence};
}

std::string StreamKey(std::string_view topic, int shard) {
  return fmt::format("y:{{s{}}}:stream:{}", shard, topic);
}

std::string DeadLetterKey(std::string_view topic, int shard) {
  return fmt::format("y:{{s{}}}:dead:{}", shard, topic);
}

std::string DeadLetterSizeKey(std::string_view topic, int shard) {
  return fmt::format("y:{{s{}}}:dead-size:{}", shard, topic);
}

int ShardOf(std::string_view partition, int shards) {
  // FNV-1a, then a mixing step, since FNV's low bits alone spread short texts badly. Never change
  // it: a source's events would change shards and so their order.
  uint64_t hash = 14695981039346656037ULL;
  for (const char c : partition) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  }
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccdULL;
  hash ^= hash >> 33;
  return static_cast<int>(hash % static_cast<uint64_t>(shards < 1 ? 1 : shards));
}

}  // namespace yagura::stream
