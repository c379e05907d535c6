#include "services/detection/storage/watermark_store.h"

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::detection {
namespace {

// KEYS watermark; ARGV milliseconds and sequence of the entry, slot.
constexpr std::string_view kSave = R"lua(#!lua flags=allow-oom
local kept = redis.call('HMGET', KEYS[1], 'ms', 'sequence')
local ms, sequence = tonumber(kept[1] or -1), tonumber(kept[2] or -1)
if ms > tonumber(ARGV[1]) then return 0 end
if ms == tonumber(ARGV[1]) and sequence >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'ms', ARGV[1], 'sequence', ARGV[2], 'slot', ARGV[3])
return 1
)lua";

std::string KeyOf(int shard) { return fmt::format("y:{{s{}}}:detection:watermark", shard); }

}  // namespace

WatermarkStore::WatermarkStore(std::shared_ptr<redis::Pool> flow)
    : flow_(std::move(flow)), save_(kSave) {}

absl::StatusOr<Watermark> WatermarkStore::Load(int shard) const {
  const std::string key = KeyOf(shard);
  YAGURA_ASSIGN_OR_RETURN(const auto reply,
                          flow_->Command({"HMGET", key, "ms", "sequence", "slot"}));
  Watermark watermark;
  if (reply.items.size() != 3 || reply.items[0].text.empty()) return watermark;
  watermark.at.milliseconds = ParseNumber<uint64_t>(reply.items[0].text).value_or(0);
  watermark.at.sequence = ParseNumber<uint64_t>(reply.items[1].text).value_or(0);
  watermark.slot = ParseNumber<int64_t>(reply.items[2].text).value_or(-1);
  return watermark;
}

absl::Status WatermarkStore::Save(int shard, const Watermark& watermark) const {
  const std::string key = KeyOf(shard);
  const std::string ms = fmt::format("{}", watermark.at.milliseconds);
  const std::string sequence = fmt::format("{}", watermark.at.sequence);
  const std::string slot = fmt::format("{}", watermark.slot);
  YAGURA_ASSIGN_OR_RETURN(auto connection, flow_->Acquire());
  return save_.Run(*connection, {key}, {ms, sequence, slot}).status();
}

}  // namespace yagura::detection
