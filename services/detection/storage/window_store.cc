#include "services/detection/storage/window_store.h"

#include <algorithm>
#include <vector>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/stream/scripts.h"
#include "common/text/printable.h"
#include "common/text/text.h"
#include "services/detection/domain/packed.h"

namespace yagura::detection {
namespace {

// KEYS lease, windows; ARGV epoch, number of fields to set, (field, value)..., fields to remove...
// What drains a stream must work while Redis is at its memory limit.
constexpr std::string_view kSave = R"lua(#!lua flags=allow-oom
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return redis.error_reply('YAGURA_LEASE_LOST the windows belong to a later epoch')
end
local sets = tonumber(ARGV[2])
for i = 3, 2 + 2 * sets, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
for i = 3 + 2 * sets, #ARGV do redis.call('HDEL', KEYS[2], ARGV[i]) end
return 1
)lua";

constexpr size_t kMostShown = 64;

// One field of the windows' hash. INVALID_ARGUMENT: it is broken, and costs no more than itself.
// What a later release wrote waits for it (UNAVAILABLE): no entry is at fault for that.
absl::Status LoadField(const std::string& field, const std::string& value, Windows& windows) {
  const std::string key = field.substr(std::min<size_t>(field.size(), 2));
  if (field.starts_with("c:") || field.starts_with("w:")) {
    const auto source = ParseNumber<uint32_t>(key);
    const auto received = ParseNumber<int64_t>(value);
    if (!source) return Internal("windows: a place of no shard");
    if (field.starts_with("c:")) {
      windows.LoadCheckpoint(*source, value);
    } else if (received) {
      windows.LoadWatermark(*source, *received);
    } else {
      return Internal("windows: a receive time that is none");
    }
  } else if (field.starts_with("r:")) {
    internal::v1::RuleBundle bundle;
    YAGURA_RETURN_IF_ERROR(Annotate(Unpack(value, bundle), "rules of a window"));
    windows.LoadBundle(key, std::move(bundle));
  } else if (field.starts_with("e:")) {
    const auto number = ParseNumber<uint64_t>(key);
    YAGURA_RETURN_IF_ERROR(Annotate(CheckPacked(value), "evidence of a window"));
    if (!number || *number == 0) return absl::InvalidArgumentError("evidence without a number");
    if (!windows.LoadBlock(*number, value)) {
      return absl::InvalidArgumentError("evidence with the number of another");
    }
  } else if (field.starts_with("g:")) {
    internal::v1::Group group;
    YAGURA_RETURN_IF_ERROR(Annotate(Unpack(value, group), "a group of a window"));
    windows.LoadGroup(key, std::move(group));
  } else {
    return Unavailable("NEWER_FORMAT", fmt::format("windows: a later release keeps \"{}\" here",
                                                   Printable(field, kMostShown)));
  }
  return absl::OkStatus();
}

std::string WindowsKey(int shard) { return fmt::format("y:{{s{}}}:detection:windows", shard); }

}  // namespace

WindowStore::WindowStore(std::shared_ptr<redis::Pool> flow, stream::Topic hits, std::string reader)
    : flow_(std::move(flow)), hits_(std::move(hits)), reader_(std::move(reader)), save_(kSave) {}

absl::StatusOr<std::vector<WindowStore::Broken>> WindowStore::Load(int shard,
                                                                   Windows& windows) const {
  YAGURA_ASSIGN_OR_RETURN(const auto reply, flow_->Command({"HGETALL", WindowsKey(shard)}));
  std::vector<Broken> broken;
  for (size_t i = 0; i + 1 < reply.items.size(); i += 2) {
    const std::string& field = reply.items[i].text;
    const absl::Status loaded = LoadField(field, reply.items[i + 1].text, windows);
    if (loaded.ok()) continue;
    if (!absl::IsInvalidArgument(loaded)) return loaded;
    windows.Drop(field);
    broken.push_back({field, loaded});
  }
  return broken;
}

absl::Status WindowStore::Save(int shard, uint64_t epoch, const Windows& windows) const {
  Packer packer;
  std::vector<std::string> sets;
  std::vector<std::string> removed;
  for (const auto& [source, id] : windows.dirty_checkpoints()) {
    sets.push_back(fmt::format("c:{}", source));
    sets.push_back(id);
  }
  for (const auto& [source, received] : windows.dirty_watermarks()) {
    sets.push_back(fmt::format("w:{}", source));
    sets.push_back(fmt::format("{}", received));
  }
  const auto keep = [&](const std::string& field, const google::protobuf::Message* message) {
    if (message == nullptr) {
      removed.push_back(field);
    } else {
      sets.push_back(field);
      sets.push_back(packer.Pack(*message));
    }
  };
  for (const auto& [number, block] : windows.dirty_blocks()) {
    const std::string field = fmt::format("e:{}", number);
    if (block == nullptr) {
      removed.push_back(field);
    } else {
      sets.push_back(field);
      sets.push_back(*block);
    }
  }
  for (const auto& [key, bundle] : windows.dirty_bundles()) keep("r:" + key, bundle);
  for (const auto& [key, group] : windows.dirty_groups()) keep("g:" + key, group);
  for (const auto& field : windows.dropped()) {
    if (std::ranges::find(sets, field) == sets.end()) removed.push_back(field);
  }
  const std::string epoch_text = fmt::format("{}", epoch);
  const std::string count = fmt::format("{}", sets.size() / 2);
  redis::Args args = {epoch_text, count};
  args.insert(args.end(), sets.begin(), sets.end());
  args.insert(args.end(), removed.begin(), removed.end());
  const std::string lease = stream::LeaseKey(hits_.name, shard, reader_);
  const std::string key = WindowsKey(shard);
  YAGURA_ASSIGN_OR_RETURN(auto connection, flow_->Acquire());
  return stream::FromScript(save_.Run(*connection, {lease, key}, args).status());
}

}  // namespace yagura::detection
