#include "common/stream/readers.h"

#include <vector>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/redis/script.h"
#include "common/status/status.h"
#include "common/stream/entries.h"
#include "common/stream/info.h"
#include "common/stream/scripts.h"
#include "common/stream/worker.h"

namespace yagura::stream {
namespace {

// The value after `name` in an XINFO answer of names and values.
const redis::Reply* Field(const redis::Reply& flat, std::string_view name) {
  for (size_t i = 0; i + 1 < flat.items.size(); i += 2) {
    if (flat.items[i].text == name) return &flat.items[i + 1];
  }
  return nullptr;
}

const redis::Reply* Group(const redis::Reply& groups, std::string_view reader) {
  for (const redis::Reply& group : groups.items) {
    const redis::Reply* name = Field(group, "name");
    if (name != nullptr && name->text == reader) return &group;
  }
  return nullptr;
}

// Whoever declares the topic first says how many shards it has.
Status CheckShards(redis::Connection& connection, const Topic& topic) {
  const std::string own = fmt::format("{}", topic.shards);
  const std::string key = ShardsKey(topic.name);
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply kept,
                          connection.Command({"SET", key, own, "NX", "GET"}));
  if (kept.is_nil() || kept.text == own) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "TOPIC_DIFFERS",
      fmt::format(
          "the topic \"{}\" has {} shards, and these settings say {}: all services need the "
          "same number (to change it, drain the topic, stop everybody, delete {})",
          topic.name, kept.text, own, key),
      {{"topic", topic.name}, {"shards", kept.text}});
}

}  // namespace

StatusOr<std::vector<Backlog>> ReaderBacklog(redis::Pool& flow, const Topic& topic,
                                             std::string_view reader) {
  YAGURA_ASSIGN_OR_RETURN(auto connection, flow.Acquire());
  return ReaderBacklog(*connection, topic, reader);
}

StatusOr<std::vector<Backlog>> ReaderBacklog(redis::Connection& flow, const Topic& topic,
                                             std::string_view reader) {
  std::vector<std::string> keys;
  keys.reserve(static_cast<size_t>(topic.shards));
  for (int shard = 0; shard < topic.shards; ++shard) keys.push_back(StreamKey(topic.name, shard));
  std::vector<redis::Args> commands;
  for (const std::string& key : keys) {
    commands.push_back({"XLEN", key});
    commands.push_back({"XINFO", "GROUPS", key});
  }
  const auto replies = flow.Pipeline(commands);
  std::vector<Backlog> backlogs;
  for (size_t i = 0; i + 1 < replies.size(); i += 2) {
    YAGURA_RETURN_IF_ERROR(replies[i].status());
    const auto length = static_cast<uint64_t>(replies[i]->integer);
    if (length == 0) continue;  // also where there is no such stream
    YAGURA_RETURN_IF_ERROR(replies[i + 1].status());
    const redis::Reply* group = Group(*replies[i + 1], reader);
    const redis::Reply* lag = group == nullptr ? nullptr : Field(*group, "lag");
    const redis::Reply* place = group == nullptr ? nullptr : Field(*group, "last-delivered-id");
    Backlog backlog{static_cast<int>(i / 2), {}, length};
    if (place != nullptr) backlog.committed = EntryId::Parse(place->text).value_or(EntryId());
    if (lag != nullptr && !lag->is_nil()) backlog.entries = static_cast<uint64_t>(lag->integer);
    if (backlog.entries > 0) backlogs.push_back(backlog);
  }
  return backlogs;
}

StatusOr<std::vector<Entry>> Peek(redis::Connection& flow, const Topic& topic, int shard,
                                  EntryId after, size_t count) {
  const std::string start = "(" + after.ToString();
  const std::string limit = fmt::format("{}", count);
  const std::string key = StreamKey(topic.name, shard);
  YAGURA_ASSIGN_OR_RETURN(redis::Reply reply,
                          flow.Command({"XRANGE", key, start, "+", "COUNT", limit}));
  return ParseEntries(reply);
}

StatusOr<bool> HasEntries(redis::Connection& flow, const Topic& topic, int shard,
                          std::span<const EntryId> ids) {
  const std::string key = StreamKey(topic.name, shard);
  std::vector<std::string> texts;
  for (const EntryId& id : ids) texts.push_back(id.ToString());
  std::vector<redis::Args> commands;
  for (const std::string& id : texts) commands.push_back({"XRANGE", key, id, id});
  for (const auto& reply : flow.Pipeline(commands)) {
    YAGURA_RETURN_IF_ERROR(reply.status());
    if (reply->items.empty()) return false;
  }
  return true;
}

StatusOr<std::string> ServerHistory(redis::Connection& flow) {
  const std::vector<redis::Args> commands = {{"INFO", "server"}, {"INFO", "replication"}};
  const auto replies = flow.Pipeline(commands);
  for (const auto& reply : replies) YAGURA_RETURN_IF_ERROR(reply.status());
  const std::string_view run = InfoText(replies[0]->text, "run_id");
  const std::string_view data = InfoText(replies[1]->text, "master_replid");
  if (run.empty() || data.empty()) return Internal("redis: INFO tells no run_id or master_replid");
  return fmt::format("{}/{}", run, data);
}

StatusOr<uint64_t> ReaderLag(redis::Pool& flow, const Topic& topic, std::string_view reader) {
  YAGURA_ASSIGN_OR_RETURN(const auto backlogs, ReaderBacklog(flow, topic, reader));
  uint64_t sum = 0;
  for (const Backlog& backlog : backlogs) sum += backlog.entries;
  return sum;
}

Status DeclareReaders(redis::Pool& flow, const Topic& topic) {
  const redis::Script script = DeclareScript();
  YAGURA_ASSIGN_OR_RETURN(auto connection, flow.Acquire());
  YAGURA_RETURN_IF_ERROR(CheckShards(*connection, topic));
  const redis::Args readers(topic.readers.begin(), topic.readers.end());
  for (int shard = 0; shard < topic.shards; ++shard) {
    YAGURA_RETURN_IF_ERROR(
        script.Run(*connection, {StreamKey(topic.name, shard)}, readers).status());
  }
  return absl::OkStatus();
}

Status RemoveReader(redis::Pool& flow, const Topic& topic, std::string_view reader) {
  YAGURA_ASSIGN_OR_RETURN(auto connection, flow.Acquire());
  for (int shard = 0; shard < topic.shards; ++shard) {
    const std::string key = StreamKey(topic.name, shard);
    YAGURA_ASSIGN_OR_RETURN(const redis::Reply exists, connection->Command({"EXISTS", key}));
    if (exists.integer == 0) continue;
    YAGURA_RETURN_IF_ERROR(connection->Command({"XGROUP", "DESTROY", key, reader}).status());
  }
  return absl::OkStatus();
}

}  // namespace yagura::stream
