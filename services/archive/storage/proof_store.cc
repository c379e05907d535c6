#include "services/archive/storage/proof_store.h"

#include <algorithm>
#include <array>
#include <utility>

#include "fmt/format.h"

#include "common/eventstore/client.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/archive/domain/block_column.h"
#include "services/archive/domain/row_text.h"
#include "services/archive/storage/unit_ledger.h"

namespace yagura::archive {
namespace {

constexpr std::chrono::minutes kInsertTimeout{2};
constexpr std::chrono::hours kScanTimeout{1};
constexpr size_t kMostHeads = 100'000;  // of a day: one a minute are 1,440
constexpr size_t kMostUnits = 5'000'000;
constexpr size_t kMostTenants = 1'000'000;
constexpr std::array<std::string_view, 2> kTables = {"event_units", "event_heads"};
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

// The value of a parameter of an array of numbers.
template <typename Number>
std::string Numbers(const std::vector<Number>& numbers) {
  return fmt::format("[{}]", fmt::join(numbers, ","));
}

}  // namespace

ProofStore::ProofStore(std::shared_ptr<eventstore::Client> client, const UnitLedger* ledger)
    : client_(std::move(client)), ledger_(ledger) {}

Status ProofStore::InsertUnits(const std::vector<EventUnit>& units,
                               const std::string& token) const {
  if (units.empty()) return absl::OkStatus();
  if (ledger_ != nullptr) YAGURA_RETURN_IF_ERROR(ledger_->Note(units));
  eventstore::RowBinaryWriter rows;
  for (const EventUnit& unit : units) EncodeUnit(unit, &rows);
  YAGURA_RETURN_IF_ERROR(
      client_->Insert(InsertOf(kInsertUnits, token + "/units"), rows.bytes()).status());
  return ledger_ == nullptr ? absl::OkStatus() : ledger_->NoteStored(units);
}

Status ProofStore::InsertHead(const v1::EventHead& head, uint32_t kept) const {
  eventstore::RowBinaryWriter rows;
  EncodeEventHead(head, kept, &rows);
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

StatusOr<std::map<uint64_t, EventUnit>> ProofStore::Units(std::string_view tenant, int64_t day,
                                                          std::set<uint64_t>* doubled) const {
  eventstore::Query query = OfDay(tenant, day);
  query.sql = fmt::format(
      "SELECT {} FROM yagura.event_units WHERE tenant = {{tenant:String}} AND day = "
      "toDate({{day:UInt16}}) ORDER BY unit, digest",
      kUnitColumns);
  std::map<uint64_t, EventUnit> units;
  YAGURA_RETURN_IF_ERROR(client_->Stream(query, [&](const eventstore::Row& row) -> Status {
    EventUnit unit = DecodeUnit(row);
    if (units.size() >= kMostUnits) {
      return MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_UNITS",
                       fmt::format("the day has more than {} units", kMostUnits));
    }
    const uint64_t number = unit.number;
    const bool first = units.emplace(number, std::move(unit)).second;
    if (!first && doubled != nullptr) doubled->insert(number);
    return absl::OkStatus();
  }));
  return units;
}

StatusOr<std::set<uint64_t>> ProofStore::KnownUnits(std::string_view tenant, int64_t day,
                                                    const std::vector<uint64_t>& numbers) const {
  eventstore::Query query = OfDay(tenant, day);
  query.array_parameters["units"] = Numbers(numbers);
  query.sql =
      "SELECT DISTINCT unit FROM yagura.event_units WHERE tenant = {tenant:String} AND day = "
      "toDate({day:UInt16}) AND has({units:Array(UInt64)}, unit)";
  YAGURA_ASSIGN_OR_RETURN(const auto rows, client_->Select(query));
  std::set<uint64_t> known;
  for (const auto& row : rows.rows) known.insert(row.at(0).AsUnsigned());
  return known;
}

StatusOr<std::set<uint64_t>> ProofStore::SealedUnits(std::string_view tenant, int64_t day,
                                                     const std::vector<uint64_t>& numbers) const {
  eventstore::Query query = OfDay(tenant, day);
  query.array_parameters["units"] = Numbers(numbers);
  query.sql =
      "SELECT arrayJoin(arrayIntersect(units, {units:Array(UInt64)})) FROM yagura.event_heads "
      "WHERE tenant = {tenant:String} AND day = toDate({day:UInt16})";
  YAGURA_ASSIGN_OR_RETURN(const auto rows, client_->Select(query));
  std::set<uint64_t> sealed;
  for (const auto& row : rows.rows) sealed.insert(row.at(0).AsUnsigned());
  return sealed;
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

StatusOr<std::vector<EventUnit>> ProofStore::Unsealed(TimePoint since,
                                                      const std::optional<EventUnit>& after) const {
  const auto seconds = [](TimePoint time) {
    return std::to_string(std::max<int64_t>(
        std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count(), 0));
  };
  eventstore::Query query;
  query.parameters = {{"since", seconds(since)}, {"sealed", seconds(since - kClocksDiffer)}};
  query.timeout = kScanTimeout;
  std::string behind;
  if (after) {
    query.parameters["tenant"] = after->tenant;
    query.parameters["day"] = std::to_string(after->day);
    query.parameters["unit"] = std::to_string(after->number);
    query.parameters["digest"] = HexEncode(after->digest);
    behind =
        " AND (toString(tenant), toUInt16(day), unit, lower(hex(digest))) > ({tenant:String}, "
        "{day:UInt16}, {unit:UInt64}, {digest:String})";
  }
  query.sql = fmt::format(
      "SELECT {} FROM yagura.event_units WHERE stored >= toDateTime({{since:UInt32}}, 'UTC') AND "
      "(tenant, day, unit) NOT IN (SELECT tenant, day, arrayJoin(units) FROM yagura.event_heads "
      "WHERE seal_time >= toDateTime({{sealed:UInt32}}, 'UTC')){} ORDER BY tenant, day, unit, "
      "digest LIMIT "
      "{}",
      kUnitColumns, behind, kUnsealedAtOnce);
  YAGURA_ASSIGN_OR_RETURN(const auto rows, client_->Select(query, kUnsealedAtOnce));
  std::vector<EventUnit> units;
  for (const auto& row : rows.rows) units.push_back(DecodeUnit(row));
  return units;
}

StatusOr<bool> ProofStore::HasUnproven() const {
  eventstore::Query query;
  query.timeout = kScanTimeout;
  query.sql = "SELECT 1 FROM yagura.events WHERE unit = 0 LIMIT 1";
  YAGURA_ASSIGN_OR_RETURN(const auto rows, client_->Select(query));
  return !rows.rows.empty();
}

StatusOr<TimePoint> ProofStore::Now() const {
  YAGURA_ASSIGN_OR_RETURN(const auto rows,
                          client_->Select({.sql = "SELECT toInt64(toUnixTimestamp(now()))"}));
  if (rows.rows.empty()) return Internal("the event store does not tell its time");
  return TimePoint(std::chrono::seconds(rows.rows[0].at(0).AsSigned()));
}

Status ProofStore::Visit(std::string_view tenant, int64_t day, uint64_t unit,
                         const std::map<uint64_t, EventUnit>& units, const std::stop_token& stop,
                         const Visitor& visit) const {
  // A day of an earlier release is read without them.
  const bool with_columns = std::any_of(units.begin(), units.end(),
                                        [](const auto& each) { return each.second.scheme > 1; });
  eventstore::Query query = OfDay(tenant, day);
  query.parameters["first"] = std::to_string(day * kDayNanoseconds);
  query.parameters["last"] = std::to_string((day + 1) * kDayNanoseconds);
  query.parameters["unit"] = std::to_string(unit);
  query.sql = fmt::format(
      "SELECT unit, {} FROM yagura.events WHERE tenant = {{tenant:String}} AND receive_time >= "
      "fromUnixTimestamp64Nano({{first:Int64}}, 'UTC') AND receive_time < "
      "fromUnixTimestamp64Nano({{last:Int64}}, 'UTC'){} ORDER BY receive_time, id",
      RowTextSql(with_columns), unit == 0 ? "" : " AND unit = {unit:UInt64}");
  StoredEvent event;
  std::string text;
  return client_->Stream(
      query,
      [&](const eventstore::Row& row) {
        event.unit = row.at(0).AsUnsigned();
        event.receive_time = RowReceiveTime(row, 1);
        event.id = RowId(row, 1);
        const auto of = units.find(event.unit);
        if (of != units.end() && of->second.scheme <= kUnitScheme) {
          RowText(row, 1, of->second.scheme > 1, &text);
          event.digest = EventDigest(text);
        }
        return visit(event);
      },
      stop);
}

StatusOr<std::map<int64_t, ProofStore::LastHead>> ProofStore::LastHeads(
    std::string_view tenant) const {
  eventstore::Query query;
  query.parameters = {{"tenant", std::string(tenant)}};
  query.timeout = kScanTimeout;
  query.sql =
      "SELECT toInt64(toUInt16(day)) AS d, max(sequence), argMax(hash, sequence) FROM "
      "yagura.event_heads WHERE tenant = {tenant:String} GROUP BY d";
  YAGURA_ASSIGN_OR_RETURN(const auto rows, client_->Select(query));
  std::map<int64_t, LastHead> heads;
  for (const auto& row : rows.rows) {
    heads[row.at(0).AsSigned()] = {static_cast<uint32_t>(row.at(1).AsUnsigned()), row.at(2).text};
  }
  return heads;
}

StatusOr<std::vector<std::string>> ProofStore::TenantsWithHeads() const {
  eventstore::Query query;
  query.timeout = kScanTimeout;
  query.sql = "SELECT DISTINCT toString(tenant) FROM yagura.event_heads";
  YAGURA_ASSIGN_OR_RETURN(const auto rows, client_->Select(query, kMostTenants));
  std::vector<std::string> tenants;
  for (const auto& row : rows.rows) tenants.push_back(row.at(0).text);
  return tenants;
}

Status ProofStore::DropHeads(std::string_view tenant, const std::vector<int64_t>& days) const {
  eventstore::Query drop;
  drop.parameters = {{"tenant", std::string(tenant)}};
  drop.array_parameters["days"] = Numbers(days);
  drop.settings["mutations_sync"] = "1";
  drop.timeout = kScanTimeout;
  drop.sql =
      "ALTER TABLE yagura.event_heads DELETE WHERE tenant = {tenant:String} AND "
      "has({days:Array(UInt16)}, toUInt16(day))";
  return client_->Execute(drop);
}

ProofStore::DayRange ProofStore::DaysOf(const TimeWindow& window) {
  constexpr int64_t kLastDay = UINT16_MAX;
  const auto day = [](TimePoint time) -> int64_t {
    return std::chrono::floor<std::chrono::days>(time).time_since_epoch().count();
  };
  const int64_t last = day(window.end - std::chrono::nanoseconds(1));
  return {std::clamp<int64_t>(day(window.start), 0, kLastDay),
          std::clamp<int64_t>(last, 0, kLastDay)};
}

// A change rewrites parts: none is asked for where nothing is to be changed.
Status ProofStore::SetKept(std::string_view table, std::string_view tenant, const DayRange& days,
                           const std::string& kept, const std::string& condition) const {
  eventstore::Query query;
  query.parameters = {{"tenant", std::string(tenant)},
                      {"first", std::to_string(days.first)},
                      {"last", std::to_string(days.last)}};
  query.timeout = kScanTimeout;
  const std::string where = fmt::format(
      "tenant = {{tenant:String}} AND day >= toDate({{first:UInt16}}) AND day <= "
      "toDate({{last:UInt16}}) AND {}",
      condition);
  query.sql = fmt::format("SELECT count() FROM yagura.{} WHERE {}", table, where);
  YAGURA_ASSIGN_OR_RETURN(const auto found, client_->Select(query));
  if (found.rows.empty() || found.rows[0].at(0).AsUnsigned() == 0) return absl::OkStatus();
  query.settings["mutations_sync"] = "1";
  query.sql = fmt::format("ALTER TABLE yagura.{} UPDATE kept = {} WHERE {}", table, kept, where);
  return client_->Execute(query);
}

Status ProofStore::Keep(std::string_view tenant, const DayRange& days) const {
  const std::string held = fmt::format("toDateTime({}, 'UTC')", kHeldUntil);
  for (const std::string_view table : kTables) {
    YAGURA_RETURN_IF_ERROR(SetKept(table, tenant, days, held, "kept < " + held));
  }
  return absl::OkStatus();
}

Status ProofStore::LetGo(std::string_view tenant, const DayRange& days,
                         const std::vector<DayRange>& except, std::chrono::seconds grace) const {
  // What schema 9 stored under a hold does not know when it would have gone otherwise: it stays.
  std::string condition =
      fmt::format("kept = toDateTime({0}, 'UTC') AND expires < toDateTime({0}, 'UTC')", kHeldUntil);
  for (const DayRange& other : except) {
    condition += fmt::format(" AND NOT (toUInt16(day) >= {} AND toUInt16(day) <= {})", other.first,
                             other.last);
  }
  YAGURA_ASSIGN_OR_RETURN(const TimePoint now, Now());
  const auto soonest = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch() + grace;
  const std::string kept = fmt::format("greatest(expires, toDateTime({}, 'UTC'))", soonest.count());
  for (const std::string_view table : kTables) {
    YAGURA_RETURN_IF_ERROR(SetKept(table, tenant, days, kept, condition));
  }
  return absl::OkStatus();
}

StatusOr<int64_t> ProofStore::LatestExpiry(std::string_view tenant, int64_t day) const {
  eventstore::Query query = OfDay(tenant, day);
  query.sql = fmt::format(
      "SELECT toInt64(max(toUnixTimestamp(expires))) FROM yagura.event_units WHERE tenant = "
      "{{tenant:String}} AND day = toDate({{day:UInt16}}) AND expires < toDateTime({}, 'UTC')",
      kHeldUntil);
  YAGURA_ASSIGN_OR_RETURN(const auto rows, client_->Select(query));
  return rows.rows.empty() ? 0 : rows.rows[0].at(0).AsSigned();
}

}  // namespace yagura::archive
