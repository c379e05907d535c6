#include "services/detection/storage/dead_letters.h"

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/stream/scripts.h"
#include "common/text/text.h"

namespace yagura::detection {
namespace {

constexpr std::string_view kPlacesKey = "y:{dead}:detection:dead-letters";
constexpr std::string_view kPage = "16";  // entries may be large

// KEYS places; ARGV version as loaded, (field, value)...
constexpr std::string_view kSave = R"lua(#!lua flags=allow-oom
local version = redis.call('HGET', KEYS[1], 'version') or ''
if version ~= ARGV[1] then return redis.error_reply('YAGURA_TOLD by another process') end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'version', string.format('%.0f', (tonumber(version) or 0) + 1))
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
)lua";

absl::StatusOr<std::vector<DeadLetter>> Parse(redis::Reply& list) {
  std::vector<DeadLetter> letters;
  for (redis::Reply& item : list.items) {
    const auto id = item.items.size() == 2 ? stream::EntryId::Parse(item.items[0].text)
                                           : std::optional<stream::EntryId>();
    if (!id) return Internal("dead letters: Redis answered something that is no entry");
    DeadLetter& letter = letters.emplace_back();
    letter.id = *id;
    auto& fields = item.items[1].items;
    for (size_t i = 0; i + 1 < fields.size(); i += 2) {
      const std::string_view name = fields[i].text;
      std::string& value = fields[i + 1].text;
      if (name == "id") {
        letter.entry = std::move(value);
      } else if (name == "reader") {
        letter.reader = std::move(value);
      } else if (name == "error") {
        letter.error = std::move(value);
      } else if (name == "k") {
        letter.key = std::move(value);
      } else if (name == "p") {
        letter.payload = std::move(value);
      }
    }
  }
  return letters;
}

}  // namespace

DeadLetters::DeadLetters(std::shared_ptr<redis::Pool> flow)
    : flow_(std::move(flow)), save_(kSave), remove_(stream::RemoveDeadLetterScript()) {}

absl::StatusOr<std::vector<DeadLetter>> DeadLetters::Read(const stream::Topic& topic, int shard,
                                                          stream::EntryId after) const {
  const std::string key = stream::DeadLetterKey(topic.name, shard);
  const std::string start = "(" + after.ToString();
  YAGURA_ASSIGN_OR_RETURN(auto reply, flow_->Command({"XRANGE", key, start, "+", "COUNT", kPage}));
  return Parse(reply);
}

absl::StatusOr<std::vector<DeadLetter>> DeadLetters::ReadBack(const stream::Topic& topic, int shard,
                                                              stream::EntryId before,
                                                              int count) const {
  const std::string key = stream::DeadLetterKey(topic.name, shard);
  const std::string end = "(" + before.ToString();
  const std::string limit = fmt::format("{}", count);
  YAGURA_ASSIGN_OR_RETURN(auto reply, flow_->Command({"XREVRANGE", key, end, "-", "COUNT", limit}));
  return Parse(reply);
}

absl::StatusOr<std::optional<DeadLetter>> DeadLetters::Get(const stream::Topic& topic, int shard,
                                                           stream::EntryId id) const {
  const std::string key = stream::DeadLetterKey(topic.name, shard);
  const std::string place = id.ToString();
  YAGURA_ASSIGN_OR_RETURN(auto reply, flow_->Command({"XRANGE", key, place, place}));
  YAGURA_ASSIGN_OR_RETURN(auto letters, Parse(reply));
  if (letters.empty()) return std::optional<DeadLetter>();
  return std::optional<DeadLetter>(std::move(letters[0]));
}

absl::StatusOr<bool> DeadLetters::Remove(const stream::Topic& topic, int shard,
                                         stream::EntryId id) const {
  const std::string key = stream::DeadLetterKey(topic.name, shard);
  const std::string size = stream::DeadLetterSizeKey(topic.name, shard);
  YAGURA_ASSIGN_OR_RETURN(auto connection, flow_->Acquire());
  YAGURA_ASSIGN_OR_RETURN(const auto reply, remove_.Run(*connection, {key, size}, {id.ToString()}));
  return reply.integer == 1;
}

absl::StatusOr<DeadLetters::Totals> DeadLetters::Count(
    const std::vector<stream::Topic>& topics) const {
  Totals totals;
  for (const auto& topic : topics) {
    for (int shard = 0; shard < topic.shards; ++shard) {
      const std::string key = stream::DeadLetterKey(topic.name, shard);
      const std::string size = stream::DeadLetterSizeKey(topic.name, shard);
      YAGURA_ASSIGN_OR_RETURN(const auto length, flow_->Command({"XLEN", key}));
      YAGURA_ASSIGN_OR_RETURN(const auto dropped, flow_->Command({"HGET", size, "dropped"}));
      totals.kept += static_cast<uint64_t>(length.integer);
      totals.dropped += ParseNumber<uint64_t>(dropped.text).value_or(0);
    }
  }
  return totals;
}

absl::StatusOr<DeadLetterPlaces> DeadLetters::Load() const {
  YAGURA_ASSIGN_OR_RETURN(const auto reply, flow_->Command({"HGETALL", kPlacesKey}));
  DeadLetterPlaces places;
  for (size_t i = 0; i + 1 < reply.items.size(); i += 2) {
    const std::string_view field = reply.items[i].text;
    const std::string& value = reply.items[i + 1].text;
    if (field == "version") places.version = value;
    if (field.starts_with("n:")) {
      places.counts[std::string(field.substr(2))] = ParseNumber<uint64_t>(value).value_or(0);
    }
    if (!field.starts_with("l:")) continue;
    const size_t colon = field.rfind(':');
    const auto shard = ParseNumber<int>(field.substr(colon + 1));
    const auto last = stream::EntryId::Parse(value);
    if (colon < 2 || !shard || !last) return Internal("dead letters: a place cannot be read");
    places.last[{std::string(field.substr(2, colon - 2)), *shard}] = *last;
  }
  return places;
}

absl::Status DeadLetters::Save(const DeadLetterPlaces& places) const {
  std::vector<std::string> fields = {places.version};
  for (const auto& [at, last] : places.last) {
    fields.push_back(fmt::format("l:{}:{}", at.first, at.second));
    fields.push_back(last.ToString());
  }
  for (const auto& [what, count] : places.counts) {
    fields.push_back("n:" + what);
    fields.push_back(fmt::format("{}", count));
  }
  const redis::Args args(fields.begin(), fields.end());
  YAGURA_ASSIGN_OR_RETURN(auto connection, flow_->Acquire());
  return save_.Run(*connection, {kPlacesKey}, args).status();
}

}  // namespace yagura::detection
