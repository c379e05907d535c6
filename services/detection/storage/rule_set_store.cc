#include "services/detection/storage/rule_set_store.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "fmt/format.h"

#include "common/digest/sha256.h"
#include "common/event/control.h"
#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::detection {
namespace {

// Hash: "s:<version>" the time it was saved (Redis's clock, ms) and its items, "t:<digest>" a
// rule's text, "generation" a number that every save changes that writes.
constexpr std::string_view kSetsKey = "y:{rules}:detection:rule-sets";
constexpr std::string_view kGeneration = "generation";
constexpr size_t kTextBytesPerCall = 1 << 20;
constexpr int kSaveTries = 5;

// KEYS sets; ARGV version, items, age (ms), digest... -> the places of digests whose texts are
// missing; where none is, the set has been saved, or was and is younger than the age: every process
// saves the set in force once a minute. What drains a stream must work at the memory limit.
constexpr std::string_view kSave = R"lua(#!lua flags=allow-oom
local missing = {}
for i = 4, #ARGV do
  if redis.call('HEXISTS', KEYS[1], 't:' .. ARGV[i]) == 0 then missing[#missing + 1] = i - 4 end
end
if #missing > 0 then return missing end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local kept = redis.call('HGET', KEYS[1], 's:' .. ARGV[1])
local saved = kept and tonumber(string.match(kept, '^%d+'))
if saved and saved <= now and now < saved + tonumber(ARGV[3]) then return missing end
redis.call('HSET', KEYS[1], 's:' .. ARGV[1], string.format('%.0f', now) .. '\n' .. ARGV[2])
redis.call('HINCRBY', KEYS[1], 'generation', 1)
return missing
)lua";

// KEYS stream, index; ARGV version, key, payload. Entry and index are one write.
constexpr std::string_view kAnnounce = R"lua(#!lua flags=allow-oom
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
if last and last[2][2] == ARGV[1] then return last[1] end
local id = redis.call('XADD', KEYS[1], '*', 'k', ARGV[2], 'p', ARGV[3])
redis.call('XADD', KEYS[2], id, 'v', ARGV[1])
return id
)lua";

// KEYS sets; ARGV generation, field...: nothing is removed where something was saved meanwhile.
constexpr std::string_view kForget = R"lua(#!lua flags=allow-oom
if (redis.call('HGET', KEYS[1], 'generation') or '') ~= ARGV[1] then return 0 end
for i = 2, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
return 1
)lua";

std::string IndexKey(int shard) { return fmt::format("y:{{s{}}}:detection:rule-sets", shard); }

std::string ItemsText(std::vector<RuleSetItem> items) {
  std::sort(items.begin(), items.end(), [](const RuleSetItem& a, const RuleSetItem& b) {
    return std::tie(a.tenant, a.digest) < std::tie(b.tenant, b.digest);
  });
  std::string text;
  for (const auto& item : items) text += fmt::format("{} {}\n", item.digest, item.tenant);
  return text;
}

// "<ms>\n<digest> <tenant>\n...".
struct SavedSet {
  int64_t saved = 0;
  std::vector<RuleSetItem> items;
};
SavedSet ParseSaved(std::string_view text) {
  SavedSet set;
  bool first = true;
  for (const std::string_view line : Split(text, '\n')) {
    if (std::exchange(first, false)) {
      set.saved = ParseNumber<int64_t>(line).value_or(0);
      continue;
    }
    const size_t space = line.find(' ');
    if (space == std::string_view::npos) continue;
    set.items.push_back({std::string(line.substr(space + 1)), std::string(line.substr(0, space))});
  }
  return set;
}

Status PutTexts(redis::Connection& connection, const std::vector<std::string>& digests,
                const std::vector<std::string_view>& texts, const redis::Reply& missing) {
  redis::Args command = {"HSET", kSetsKey};
  std::vector<std::string> fields;
  fields.reserve(missing.items.size());
  size_t bytes = 0;
  for (const redis::Reply& place : missing.items) {
    const auto at = static_cast<size_t>(place.integer);
    if (at >= texts.size()) return Internal("rule sets: Redis misses what it was not told of");
    command.push_back(fields.emplace_back("t:" + digests[at]));
    command.push_back(texts[at]);
    bytes += texts[at].size();
    if (bytes < kTextBytesPerCall && &place != &missing.items.back()) continue;
    YAGURA_RETURN_IF_ERROR(connection.Command(command).status());
    command.resize(2);
    bytes = 0;
  }
  return connection.Command({"HINCRBY", kSetsKey, kGeneration, "1"}).status();
}

}  // namespace

std::string DigestOf(std::string_view text) { return Sha256Hex(text); }

std::string RuleSetVersion(std::vector<RuleSetItem> items) {
  return DigestOf(ItemsText(std::move(items))).substr(0, 32);
}

RuleSetStore::RuleSetStore(std::shared_ptr<redis::Pool> flow, stream::Topic events,
                           std::string reader, std::chrono::milliseconds grace)
    : flow_(std::move(flow)),
      events_(std::move(events)),
      reader_(std::move(reader)),
      grace_(grace),
      save_(kSave),
      announce_(kAnnounce),
      forget_(kForget) {}

absl::Status RuleSetStore::Save(const std::string& version, const std::vector<RuleSetItem>& items,
                                const std::vector<std::string_view>& texts) const {
  if (items.size() != texts.size()) return Internal("rule sets: an item without its text");
  std::vector<std::string> digests;
  digests.reserve(items.size());
  for (const auto& item : items) digests.push_back(item.digest);
  const std::string text = ItemsText(items);
  // Then it is kept for the other half at least.
  const std::string age = fmt::format("{}", grace_.count() / 2);
  redis::Args args = {version, text, age};
  args.insert(args.end(), digests.begin(), digests.end());
  YAGURA_ASSIGN_OR_RETURN(auto connection, flow_->Acquire());
  for (int i = 0; i < kSaveTries; ++i) {
    YAGURA_ASSIGN_OR_RETURN(const auto missing, save_.Run(*connection, {kSetsKey}, args));
    if (missing.items.empty()) return absl::OkStatus();
    YAGURA_RETURN_IF_ERROR(PutTexts(*connection, digests, texts, missing));
  }
  return Unavailable("RULE_SET_NOT_SAVED", "texts of a rule set go as fast as they are saved");
}

absl::StatusOr<std::vector<RuleSetItem>> RuleSetStore::Items(const std::string& version) const {
  const std::string field = "s:" + version;
  YAGURA_ASSIGN_OR_RETURN(const auto reply, flow_->Command({"HGET", kSetsKey, field}));
  if (reply.text.empty()) return NotFound(fmt::format("rule set {}", version));
  return ParseSaved(reply.text).items;
}

absl::StatusOr<std::vector<std::string>> RuleSetStore::Texts(
    const std::vector<std::string>& digests) const {
  std::vector<std::string> texts;
  if (digests.empty()) return texts;
  std::vector<std::string> fields;
  fields.reserve(digests.size());
  for (const auto& digest : digests) fields.push_back("t:" + digest);
  redis::Args command = {"HMGET", kSetsKey};
  command.insert(command.end(), fields.begin(), fields.end());
  YAGURA_ASSIGN_OR_RETURN(auto reply, flow_->Command(command));
  for (size_t i = 0; i < digests.size(); ++i) {
    if (i >= reply.items.size() || reply.items[i].text.empty()) {
      return NotFound(fmt::format("text {} of a rule set", digests[i]));
    }
    texts.push_back(std::move(reply.items[i].text));
  }
  return texts;
}

absl::Status RuleSetStore::Announce(const std::string& version) const {
  const std::string key = fmt::format("{}-{}", kRuleSetControl, version);
  const std::string payload = event::EncodeControl(kRuleSetControl, version);
  YAGURA_ASSIGN_OR_RETURN(auto connection, flow_->Acquire());
  for (int shard = 0; shard < events_.shards; ++shard) {
    const std::string stream = stream::StreamKey(events_.name, shard);
    const std::string index = IndexKey(shard);
    YAGURA_RETURN_IF_ERROR(
        announce_.Run(*connection, {stream, index}, {version, key, payload}).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<RuleSetSwitch>> RuleSetStore::Switches(int shard) const {
  const std::string key = IndexKey(shard);
  YAGURA_ASSIGN_OR_RETURN(const auto reply, flow_->Command({"XRANGE", key, "-", "+"}));
  std::vector<RuleSetSwitch> switches;
  for (const redis::Reply& item : reply.items) {
    const auto id = item.items.size() == 2 ? stream::EntryId::Parse(item.items[0].text)
                                           : std::optional<stream::EntryId>();
    if (!id || item.items[1].items.size() != 2) {
      return Internal("rule sets: the index of a shard cannot be read");
    }
    switches.push_back({*id, item.items[1].items[1].text});
  }
  return switches;
}

// The versions that the shard still refers to.
absl::StatusOr<std::vector<std::string>> RuleSetStore::PruneShard(int shard) const {
  YAGURA_ASSIGN_OR_RETURN(auto switches, Switches(shard));
  const std::string stream = stream::StreamKey(events_.name, shard);
  const auto groups = flow_->Command({"XINFO", "GROUPS", stream});
  stream::EntryId committed;  // a shard that cannot be asked keeps everything
  for (const redis::Reply& group : groups.ok() ? groups->items : std::vector<redis::Reply>()) {
    std::string name;
    for (size_t i = 0; i + 1 < group.items.size(); i += 2) {
      const std::string& value = group.items[i + 1].text;
      if (group.items[i].text == "name") name = value;
      if (group.items[i].text != "last-delivered-id" || name != reader_) continue;
      committed = stream::EntryId::Parse(value).value_or(committed);
    }
  }
  auto in_force = std::upper_bound(
      switches.begin(), switches.end(), committed,
      [](const stream::EntryId& id, const RuleSetSwitch& one) { return id < one.at; });
  if (in_force != switches.begin()) --in_force;
  if (in_force != switches.begin()) {
    const std::string index = IndexKey(shard);
    const std::string first = in_force->at.ToString();
    YAGURA_RETURN_IF_ERROR(flow_->Command({"XTRIM", index, "MINID", "=", first}).status());
    switches.erase(switches.begin(), in_force);
  }
  std::vector<std::string> versions;
  for (auto& one : switches) versions.push_back(std::move(one.version));
  return versions;
}

absl::Status RuleSetStore::Prune() const {
  YAGURA_ASSIGN_OR_RETURN(const auto generation, flow_->Command({"HGET", kSetsKey, kGeneration}));
  YAGURA_ASSIGN_OR_RETURN(const auto time, flow_->Command({"TIME"}));
  if (time.items.size() != 2) return Internal("rule sets: Redis tells no time");
  const int64_t now = ParseNumber<int64_t>(time.items[0].text).value_or(0) * 1000 +
                      ParseNumber<int64_t>(time.items[1].text).value_or(0) / 1000;
  std::set<std::string> wanted;
  for (int shard = 0; shard < events_.shards; ++shard) {
    YAGURA_ASSIGN_OR_RETURN(const auto versions, PruneShard(shard));
    wanted.insert(versions.begin(), versions.end());
  }
  YAGURA_ASSIGN_OR_RETURN(const auto fields, flow_->Command({"HKEYS", kSetsKey}));
  std::vector<std::string> gone;
  std::set<std::string> texts;
  for (const redis::Reply& field : fields.items) {
    if (!field.text.starts_with("s:")) continue;
    YAGURA_ASSIGN_OR_RETURN(const auto saved, flow_->Command({"HGET", kSetsKey, field.text}));
    const SavedSet set = ParseSaved(saved.text);
    if (!wanted.contains(field.text.substr(2)) && set.saved + grace_.count() <= now) {
      gone.push_back(field.text);
      continue;
    }
    for (const auto& item : set.items) texts.insert("t:" + item.digest);
  }
  for (const redis::Reply& field : fields.items) {
    if (field.text.starts_with("t:") && !texts.contains(field.text)) gone.push_back(field.text);
  }
  if (gone.empty()) return absl::OkStatus();
  redis::Args args = {generation.text};
  args.insert(args.end(), gone.begin(), gone.end());
  YAGURA_ASSIGN_OR_RETURN(auto connection, flow_->Acquire());
  return forget_.Run(*connection, {kSetsKey}, args).status();
}

}  // namespace yagura::detection
