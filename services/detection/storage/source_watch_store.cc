#include "services/detection/storage/source_watch_store.h"

#include <vector>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/stream/scripts.h"

namespace yagura::detection {
namespace {

// KEYS lease, sources; ARGV epoch, (field, value)...; an empty value removes the field.
// What drains a stream must work while Redis is at its memory limit.
constexpr std::string_view kSave = R"lua(#!lua flags=allow-oom
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return redis.error_reply('YAGURA_LEASE_LOST the sources belong to a later epoch')
end
for i = 2, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[2], ARGV[i])
  else
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  end
end
return 1
)lua";

std::string KeyOf(int shard) { return fmt::format("y:{{s{}}}:detection:sources", shard); }

template <typename Message>
void Add(const char* prefix, const std::string& name, const Message* message,
         std::vector<std::string>* fields) {
  fields->push_back(prefix + name);
  fields->push_back(message == nullptr ? std::string() : message->SerializeAsString());
}

}  // namespace

SourceWatchStore::SourceWatchStore(std::shared_ptr<redis::Pool> flow, stream::Topic coverage,
                                   std::string reader)
    : flow_(std::move(flow)),
      coverage_(std::move(coverage)),
      reader_(std::move(reader)),
      save_(kSave) {}

absl::Status SourceWatchStore::Load(int shard, SourceWatch& watch) const {
  const std::string key = KeyOf(shard);
  YAGURA_ASSIGN_OR_RETURN(const auto reply, flow_->Command({"HGETALL", key}));
  for (size_t i = 0; i + 1 < reply.items.size(); i += 2) {
    const std::string& field = reply.items[i].text;
    const std::string& value = reply.items[i + 1].text;
    const std::string name = field.size() > 2 ? field.substr(2) : std::string();
    internal::v1::Ingester ingester;
    internal::v1::SourceState source;
    internal::v1::HourHistory history;
    if (field.starts_with("i:") && ingester.ParseFromString(value)) {
      watch.LoadIngester(name, std::move(ingester));
    } else if (field.starts_with("s:") && source.ParseFromString(value)) {
      watch.LoadSource(name, std::move(source));
    } else if (field.starts_with("h:") && history.ParseFromString(value)) {
      watch.LoadHistory(name, std::move(history));
    } else {
      return Internal("sources: what is remembered of one cannot be read");
    }
  }
  return absl::OkStatus();
}

absl::Status SourceWatchStore::Save(int shard, uint64_t epoch, const SourceWatch& watch) const {
  std::vector<std::string> fields;
  for (const auto& name : watch.dirty_ingesters()) {
    Add("i:", name, watch.FindIngester(name), &fields);
  }
  for (const auto& name : watch.dirty_sources()) Add("s:", name, watch.FindSource(name), &fields);
  for (const auto& name : watch.dirty_histories()) {
    Add("h:", name, watch.FindHistory(name), &fields);
  }
  const std::string epoch_text = fmt::format("{}", epoch);
  const std::string lease = stream::LeaseKey(coverage_.name, shard, reader_);
  const std::string key = KeyOf(shard);
  redis::Args args = {epoch_text};
  args.insert(args.end(), fields.begin(), fields.end());
  YAGURA_ASSIGN_OR_RETURN(auto connection, flow_->Acquire());
  // Whole or not at all, however much it is: a half would be told otherwise when it comes again.
  return stream::FromScript(save_.Run(*connection, {lease, key}, args).status());
}

}  // namespace yagura::detection
