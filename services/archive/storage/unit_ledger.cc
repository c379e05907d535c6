#include "services/archive/storage/unit_ledger.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <utility>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::archive {
namespace {

constexpr std::chrono::days kKept{40};
constexpr std::string_view kBegunKey = "y:{-}:archive:unit-ledger";
constexpr std::string_view kProvenKey = "y:{-}:archive:proven-since";

// KEYS ledger; ARGV seconds to keep it, unit...
constexpr std::string_view kNote = R"lua(#!lua flags=allow-oom
for i = 2, #ARGV do redis.call('SADD', KEYS[1], ARGV[i]) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
)lua";

// What was stored: a field a unit, "<when, seconds>:<expires, seconds>", for as long as its digest
// stays. Days that have such fields are named beside it.
// KEYS ledger, stored, days; ARGV day, until when to keep it at least, for how long at least,
// (unit, number, expires)...
constexpr std::string_view kNoteStored = R"lua(#!lua flags=allow-oom
local now = tonumber(redis.call('TIME')[1])
local kept = 0
for i = 4, #ARGV, 3 do
  if redis.call('SISMEMBER', KEYS[1], ARGV[i]) == 1 then
    redis.call('HSETNX', KEYS[2], ARGV[i + 1], now .. ':' .. ARGV[i + 2])
    kept = kept + 1
  end
end
if kept == 0 then return 0 end
local until_ = math.max(tonumber(ARGV[2]), now + tonumber(ARGV[3]))
local known = redis.call('EXPIRETIME', KEYS[2])
if known < until_ then redis.call('EXPIREAT', KEYS[2], string.format('%.0f', until_)) end
redis.call('SADD', KEYS[3], ARGV[1])
return kept
)lua";

// Those of the days of which something is there; the others are taken out.
// KEYS days, stored...; ARGV day...
constexpr std::string_view kDays = R"lua(
local there = {}
for i = 1, #ARGV do
  if redis.call('EXISTS', KEYS[i + 1]) == 1 then
    there[#there + 1] = ARGV[i]
  else
    redis.call('SREM', KEYS[1], ARGV[i])
  end
end
return there
)lua";

std::string KeyOf(std::string_view tenant, int64_t day) {
  return fmt::format("y:{{{}}}:archive:units:{}", tenant, day);
}

std::string StoredKeyOf(std::string_view tenant, int64_t day) {
  return fmt::format("y:{{{}}}:archive:units-stored:{}", tenant, day);
}

std::string DaysKeyOf(std::string_view tenant) {
  return fmt::format("y:{{{}}}:archive:unit-days", tenant);
}

Status Unreadable(std::string_view key) {
  return MakeError(absl::StatusCode::kInternal, "LEDGER_UNREADABLE",
                   fmt::format("what {} says cannot be read", key));
}

std::optional<std::pair<uint64_t, UnitLedger::StoredUnit>> ParseStored(const std::string& field,
                                                                       const std::string& value) {
  const auto parts = Split(value, ':');
  if (parts.size() != 2) return std::nullopt;
  const auto number = ParseNumber<uint64_t>(field);
  const auto stored = ParseNumber<uint32_t>(parts[0]);
  const auto expires = ParseNumber<uint32_t>(parts[1]);
  if (!number || !stored || !expires) return std::nullopt;
  UnitLedger::StoredUnit unit{TimePoint(std::chrono::seconds(*stored)),
                              TimePoint(std::chrono::seconds(*expires)) + kUnitsOutlive};
  return std::pair(*number, unit);
}

// All that a head says of a unit; of one of scheme 1, what releases before schema 12 noted.
std::string MemberOf(const EventUnit& unit) {
  return UnitChainNext({}, unit, unit.scheme == 1 ? 3 : kHeadScheme);
}

}  // namespace

UnitLedger::UnitLedger(std::shared_ptr<redis::Pool> state)
    : state_(std::move(state)), note_(kNote), note_stored_(kNoteStored), days_(kDays) {}

Status UnitLedger::Note(const std::vector<EventUnit>& units) const {
  std::map<std::string, std::vector<std::string>> members;  // by key
  for (const EventUnit& unit : units) {
    members[KeyOf(unit.tenant, unit.day)].push_back(MemberOf(unit));
  }
  const std::string seconds = std::to_string(std::chrono::seconds(kKept).count());
  std::vector<redis::Script::Call> calls;
  for (const auto& [key, texts] : members) {
    auto& call = calls.emplace_back();
    call.keys = {key};
    call.args = {seconds};
    call.args.insert(call.args.end(), texts.begin(), texts.end());
  }
  if (calls.empty()) return absl::OkStatus();
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  for (const auto& reply : note_.RunAll(*connection, calls)) {
    YAGURA_RETURN_IF_ERROR(reply.status());
  }
  return absl::OkStatus();
}

Status UnitLedger::NoteStored(const std::vector<EventUnit>& units) const {
  std::map<std::pair<std::string, int64_t>, std::vector<const EventUnit*>> by_day;
  for (const EventUnit& unit : units) by_day[{unit.tenant, unit.day}].push_back(&unit);
  // Texts of the calls: these are views.
  std::deque<std::string> texts;
  std::vector<redis::Script::Call> calls;
  for (const auto& [day, of_day] : by_day) {
    uint32_t expires = 0;
    for (const EventUnit* unit : of_day) expires = std::max(expires, unit->expires);
    const auto until = std::chrono::seconds(expires) + std::chrono::seconds(kUnitsOutlive);
    auto& call = calls.emplace_back();
    for (const std::string& key :
         {KeyOf(day.first, day.second), StoredKeyOf(day.first, day.second), DaysKeyOf(day.first)}) {
      call.keys.emplace_back(texts.emplace_back(key));
    }
    const auto add = [&](std::string text) {
      call.args.emplace_back(texts.emplace_back(std::move(text)));
    };
    add(std::to_string(day.second));
    add(std::to_string(until.count()));
    add(std::to_string(std::chrono::seconds(kKept).count()));
    for (const EventUnit* unit : of_day) {
      add(MemberOf(*unit));
      add(std::to_string(unit->number));
      add(std::to_string(unit->expires));
    }
  }
  if (calls.empty()) return absl::OkStatus();
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  for (const auto& reply : note_stored_.RunAll(*connection, calls)) {
    YAGURA_RETURN_IF_ERROR(reply.status());
  }
  return absl::OkStatus();
}

StatusOr<std::map<uint64_t, UnitLedger::StoredUnit>> UnitLedger::Stored(std::string_view tenant,
                                                                        int64_t day) const {
  const std::string key = StoredKeyOf(tenant, day);
  std::map<uint64_t, StoredUnit> stored;
  std::string cursor = "0";
  do {
    YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply,
                            state_->Command({"HSCAN", key, cursor, "COUNT", "10000"}));
    if (reply.items.size() != 2) return Unreadable(key);
    cursor = reply.items[0].text;
    const auto& pairs = reply.items[1].items;
    for (size_t i = 0; i + 1 < pairs.size(); i += 2) {
      const auto unit = ParseStored(pairs[i].text, pairs[i + 1].text);
      if (!unit) return Unreadable(key);
      stored.insert(*unit);
    }
  } while (cursor != "0");
  return stored;
}

StatusOr<std::vector<int64_t>> UnitLedger::Days(std::string_view tenant) const {
  const std::string key = DaysKeyOf(tenant);
  std::vector<int64_t> days;
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply named, state_->Command({"SMEMBERS", key}));
  if (named.items.empty()) return days;
  std::vector<std::string> keys = {key};
  redis::Args texts;
  for (const redis::Reply& item : named.items) {
    const auto day = ParseNumber<int64_t>(item.text);
    if (!day) return Unreadable(key);
    keys.push_back(StoredKeyOf(tenant, *day));
    texts.emplace_back(item.text);
  }
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply there,
                          days_.Run(*connection, {keys.begin(), keys.end()}, texts));
  for (const redis::Reply& item : there.items) {
    days.push_back(ParseNumber<int64_t>(item.text).value_or(0));
  }
  return days;
}

StatusOr<std::vector<bool>> UnitLedger::Noted(const std::vector<EventUnit>& units) const {
  std::vector<bool> noted(units.size());
  if (units.empty()) return noted;
  std::vector<std::string> words = {"SMISMEMBER", KeyOf(units.front().tenant, units.front().day)};
  for (const EventUnit& unit : units) words.push_back(MemberOf(unit));
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply, state_->Command({words.begin(), words.end()}));
  for (size_t i = 0; i < units.size() && i < reply.items.size(); ++i) {
    noted[i] = reply.items[i].integer == 1;
  }
  return noted;
}

Status UnitLedger::Forget(const std::vector<EventUnit>& units) const {
  if (units.empty()) return absl::OkStatus();
  const EventUnit& first = units.front();
  std::vector<std::string> noted = {"SREM", KeyOf(first.tenant, first.day)};
  std::vector<std::string> stored = {"HDEL", StoredKeyOf(first.tenant, first.day)};
  for (const EventUnit& unit : units) {
    noted.push_back(MemberOf(unit));
    stored.push_back(std::to_string(unit.number));
  }
  // In this order: what is stored is noted.
  const std::vector<redis::Args> commands = {{noted.begin(), noted.end()},
                                             {stored.begin(), stored.end()}};
  for (const auto& reply : state_->Pipeline(commands)) YAGURA_RETURN_IF_ERROR(reply.status());
  return absl::OkStatus();
}

StatusOr<bool> UnitLedger::Begun() const {
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply,
                          state_->Command({"EXISTS", std::string(kBegunKey)}));
  return reply.integer == 1;
}

Status UnitLedger::Begin() const {
  return state_->Command({"SET", std::string(kBegunKey), "1"}).status();
}

StatusOr<std::optional<TimePoint>> UnitLedger::ProvenSince() const {
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply,
                          state_->Command({"GET", std::string(kProvenKey)}));
  if (reply.is_nil()) return std::nullopt;
  const auto since = ParseNumber<int64_t>(reply.text);
  if (!since) return Unreadable(kProvenKey);
  return TimePoint(std::chrono::nanoseconds(*since));
}

Status UnitLedger::BeginProof(TimePoint since) const {
  const std::string nanoseconds = std::to_string(since.time_since_epoch().count());
  return state_->Command({"SET", std::string(kProvenKey), nanoseconds, "NX"}).status();
}

}  // namespace yagura::archive
