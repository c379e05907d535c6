#include "services/archive/storage/proof_store.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

#include "common/eventstore/client.h"
#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::archive {
namespace {

constexpr std::chrono::minutes kInsertTimeout{2};
constexpr std::chrono::hours kScanTimeout{1};
constexpr size_t kMostHeads = 100'000;  // of a day: one a minute are 1,440
constexpr size_t kMostUnits = 5'000'000;
// A head is sealed after its units are stored, as far as clocks agree.
constexpr std::chrono::hours kClocksDiffer{1};
constexpr int64_t kDayNanoseconds = 86'400'000'000'000;

eventstore::InsertRequest InsertOf(std::string_view sql, const std::string& token) {
  eventstore::InsertRequest request;
  request.sql = sql;
  request.settings = {{"insert_deduplication_token", token},
                      {"max_insert_block_size", "10000000"},
                      {"min_insert_block_size_rows", "10000000"},
                      {"min_insert_block_size_bytes", "4000000000"},
                      {"throw_on_max_partitions_per_insert_block", "0"}};
  request.timeout = kInsertTimeout;
  return request;
}

eventstore::Query OfDay(std::string_view tenant, int64_t day) {
  eventstore::Query query;
  query.parameters = {{"tenant", std::string(tenant)}, {"day", std::to_string(day)}};
  query.timeout = kScanTimeout;
  return query;
}

std::string KeyOf(std::string_view tenant) {
  return fmt::format("y:{{{}}}:archive:event-heads", tenant);
}

}  // namespace

ProofStore::ProofStore(std::shared_ptr<eventstore::Client> client,
                       std::shared_ptr<redis::Pool> state)
    : client_(std::move(client)), state_(std::move(state)) {}

Status ProofStore::InsertUnits(const std::vector<EventUnit>& units,
                               const std::string& token) const {
  if (units.empty()) return absl::OkStatus();
  eventstore::RowBinaryWriter rows;
  for (const EventUnit& unit : units) EncodeUnit(unit, &rows);
  return client_->Insert(InsertOf(kInsertUnits, token + "/units"), rows.bytes()).status();
}

Status ProofStore::InsertHead(const v1::EventHead& head) const {
  eventstore::RowBinaryWriter rows;
  EncodeEventHead(head, &rows);
  const std::string token =
      fmt::format("event-head/{}/{}/{}", head.tenant(), head.day(), head.sequence());
  return client_->Insert(InsertOf(kInsertUnitHeads, token), rows.bytes()).status();
}

StatusOr<std::vector<v1::EventHead>> ProofStore::Heads(std::string_view tenant, int64_t day) const {
  eventstore::Query query = OfDay(tenant, day);
  query.sql = fmt::format(
      "SELECT {} FROM yagura.event_heads WHERE tenant = {{tenant:String}} AND day = "
      "toDate({{day:UInt16}}) ORDER BY sequence",
      kEventHeadColumns);
  YAGURA_ASSIGN_OR_RETURN(const auto rows, client_->Select(query, kMostHeads));
  std::vector<v1::EventHead> heads;
  for (const auto& row : rows.rows) heads.push_back(DecodeEventHead(row));
  return heads;
}

StatusOr<std::map<uint64_t, EventUnit>> ProofStore::Units(std::string_view tenant,
                                                          int64_t day) const {
  eventstore::Query query = OfDay(tenant, day);
  query.sql = fmt::format(
      "SELECT {} FROM yagura.event_units WHERE tenant = {{tenant:String}} AND day = "
      "toDate({{day:UInt16}})",
      kUnitColumns);
  std::map<uint64_t, EventUnit> units;
  YAGURA_RETURN_IF_ERROR(client_->Stream(query, [&units](const eventstore::Row& row) -> Status {
    EventUnit unit = DecodeUnit(row);
    if (units.size() >= kMostUnits) {
      return MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_UNITS",
                       fmt::format("the day has more than {} units", kMostUnits));
    }
    units.emplace(unit.number, std::move(unit));
    return absl::OkStatus();
  }));
  return units;
}

StatusOr<std::vector<uint16_t>> ProofStore::Checks(const EventUnit& unit) const {
  eventstore::Query query = OfDay(unit.tenant, unit.day);
  query.parameters["unit"] = std::to_string(unit.number);
  query.sql =
      "SELECT checks FROM yagura.event_units WHERE tenant = {tenant:String} AND day = "
      "toDate({day:UInt16}) AND unit = {unit:UInt64} LIMIT 1";
  YAGURA_ASSIGN_OR_RETURN(const auto rows, client_->Select(query));
  std::vector<uint16_t> checks;
  if (rows.rows.empty()) return checks;
  for (const eventstore::Value& check : rows.rows[0].at(0).items) {
    checks.push_back(static_cast<uint16_t>(check.AsUnsigned()));
  }
  return checks;
}

StatusOr<std::vector<EventUnit>> ProofStore::Unsealed(TimePoint since) const {
  const auto seconds = [](TimePoint time) {
    return std::to_string(std::max<int64_t>(
        std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count(), 0));
  };
  eventstore::Query query;
  query.parameters = {{"since", seconds(since)}, {"sealed", seconds(since - kClocksDiffer)}};
  query.timeout = kScanTimeout;
  query.sql = fmt::format(
      "SELECT {} FROM yagura.event_units WHERE stored >= toDateTime({{since:UInt32}}, 'UTC') AND "
      "(tenant, day, unit) NOT IN (SELECT tenant, day, arrayJoin(units) FROM yagura.event_heads "
      "WHERE seal_time >= toDateTime({{sealed:UInt32}}, 'UTC')) ORDER BY tenant, day, unit LIMIT "
      "{}",
      kUnitColumns, kUnsealedAtOnce);
  YAGURA_ASSIGN_OR_RETURN(const auto rows, client_->Select(query, kUnsealedAtOnce));
  std::vector<EventUnit> units;
  for (const auto& row : rows.rows) units.push_back(DecodeUnit(row));
  return units;
}

Status ProofStore::Visit(std::string_view tenant, int64_t day, uint64_t unit,
                         const std::stop_token& stop, const Visitor& visit) const {
  eventstore::Query query = OfDay(tenant, day);
  query.parameters["first"] = std::to_string(day * kDayNanoseconds);
  query.parameters["last"] = std::to_string((day + 1) * kDayNanoseconds);
  query.parameters["unit"] = std::to_string(unit);
  query.sql = fmt::format(
      "SELECT unit, toUnixTimestamp64Nano(receive_time), id, toString(origin), raw FROM "
      "yagura.events WHERE tenant = {{tenant:String}} AND receive_time >= "
      "fromUnixTimestamp64Nano({{first:Int64}}, 'UTC') AND receive_time < "
      "fromUnixTimestamp64Nano({{last:Int64}}, 'UTC'){} ORDER BY receive_time, id",
      unit == 0 ? "" : " AND unit = {unit:UInt64}");
  StoredEvent event;
  return client_->Stream(
      query,
      [&](const eventstore::Row& row) {
        event.unit = row.at(0).AsUnsigned();
        event.receive_time = row.at(1).AsSigned();
        event.id = row.at(2).text;
        event.digest = EventDigest(event.receive_time, event.id, row.at(3).text, row.at(4).text);
        return visit(event);
      },
      stop);
}

Status ProofStore::Remember(const v1::EventHead& head) const {
  const std::string value = fmt::format("{}:{}", head.sequence(), HexEncode(head.hash()));
  return state_->Command({"HSET", KeyOf(head.tenant()), std::to_string(head.day()), value})
      .status();
}

StatusOr<ProofStore::Remembered> ProofStore::Recall(std::string_view tenant, int64_t day) const {
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply,
                          state_->Command({"HGET", KeyOf(tenant), std::to_string(day)}));
  Remembered remembered;
  const auto parts = Split(reply.text, ':');
  if (parts.size() != 2) return remembered;
  remembered.sequence = ParseNumber<uint32_t>(parts[0]).value_or(0);
  remembered.hash = HexDecode(parts[1]).value_or("");
  return remembered;
}

Status ProofStore::Forget(std::string_view tenant, int64_t before_day) const {
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply days, state_->Command({"HKEYS", KeyOf(tenant)}));
  std::vector<std::string> words = {"HDEL", KeyOf(tenant)};
  for (const redis::Reply& day : days.items) {
    const auto number = ParseNumber<int64_t>(day.text);
    if (number && *number < before_day) words.push_back(day.text);
  }
  constexpr size_t kWithoutDays = 2;
  if (words.size() == kWithoutDays) return absl::OkStatus();
  return state_->Command({words.begin(), words.end()}).status();
}

}  // namespace yagura::archive
