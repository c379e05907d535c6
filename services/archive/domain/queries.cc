#include "services/archive/domain/queries.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/event/event_view.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::archive {
namespace {

using eventstore::Query;

constexpr std::string_view kFieldPrefix = "fields.";
constexpr size_t kMaxFieldName = 256;
constexpr int64_t kHourSeconds = 3600;
constexpr int64_t kDaySeconds = 86'400;

std::string Nanoseconds(TimePoint time) { return std::to_string(time.time_since_epoch().count()); }

// A time as a constant that the store can compare with its index.
std::string TimeParameter(Query* query, const std::string& name, TimePoint time) {
  query->parameters[name] = Nanoseconds(time);
  return fmt::format("fromUnixTimestamp64Nano({{{}:Int64}}, 'UTC')", name);
}

std::string TenantCondition(const auth::TenantSet& tenants, Query* query) {
  if (tenants.all) return "1";
  if (tenants.tenants.size() == 1) {
    query->parameters["tenant"] = *tenants.tenants.begin();
    return "tenant = {tenant:String}";
  }
  query->array_parameters["tenants"] =
      eventstore::ArrayParameter({tenants.tenants.begin(), tenants.tenants.end()});
  return "has({tenants:Array(String)}, tenant)";
}

std::string EnumName(const google::protobuf::EnumDescriptor* descriptor, uint64_t number) {
  if (number == 0) return "";
  const auto* value = descriptor->FindValueByNumber(static_cast<int>(number));
  return value == nullptr ? std::to_string(number) : value->name();
}

std::string AddressText(std::string_view bytes) {
  constexpr std::string_view kMapped("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
  if (bytes.find_first_not_of('\0') == std::string_view::npos) return "";
  if (bytes.starts_with(kMapped)) bytes.remove_prefix(kMapped.size());
  return event::IpAddress::FromBytes(bytes).ToString();
}

GroupKey TimeKey(GroupKey::Kind kind, int64_t seconds) {
  GroupKey key;
  key.kind = kind;
  key.expression = fmt::format("intDiv(toUnixTimestamp64Second(receive_time), {0}) * {0}", seconds);
  return key;
}

std::string OrderSql(GroupOrder order, size_t keys) {
  std::vector<std::string> values;
  const bool descending = order == GroupOrder::kValueDescending;
  for (size_t i = 0; i < keys; ++i) {
    values.push_back(fmt::format("g{}{}", i, descending ? " DESC" : ""));
  }
  std::string by_value = Join(values, ", ");
  if (order == GroupOrder::kCount) return "events, " + by_value;
  if (order == GroupOrder::kCountDescending) return "events DESC, " + by_value;
  return by_value;
}

}  // namespace

StatusOr<GroupKey> ParseGroupKey(std::string_view path, const EventTable& table) {
  if (path == "receive_hour") return TimeKey(GroupKey::Kind::kHour, kHourSeconds);
  if (path == "receive_day") return TimeKey(GroupKey::Kind::kDay, kDaySeconds);
  GroupKey key;
  key.missing_sql = "''";
  if (path.starts_with(kFieldPrefix)) {
    key.field_name = path.substr(kFieldPrefix.size());
    if (key.field_name.empty() || key.field_name.size() > kMaxFieldName) {
      return InvalidField("group_by", "the name of an original field has 1 to 256 bytes");
    }
    return key;
  }
  const EventColumn* column = table.FindPath(path);
  if (column == nullptr) {
    return InvalidField("group_by", fmt::format("unknown field \"{}\"",
                                                ToValidUtf8(path.substr(0, kMaxFieldName))));
  }
  key.expression = fmt::format("`{}`", column->name);
  switch (column->type) {
    case filter::ColumnType::kString:
      key.expression = fmt::format("toString({})", key.expression);
      return key;
    case filter::ColumnType::kIp:
      key.kind = GroupKey::Kind::kAddress;
      key.missing_sql = "toIPv6('::')";
      return key;
    case filter::ColumnType::kInteger:
      key.kind = path == "severity" ? GroupKey::Kind::kSeverity
                 : path == "action" ? GroupKey::Kind::kAction
                                    : GroupKey::Kind::kNumber;
      key.missing_sql = "0";
      return key;
    default:
      return InvalidField("group_by", fmt::format("\"{}\" cannot be grouped by", path));
  }
}

std::string FormatGroupValue(const GroupKey& key, const eventstore::Value& value) {
  switch (key.kind) {
    case GroupKey::Kind::kNumber:
      return value.AsUnsigned() == 0 ? "" : std::to_string(value.AsUnsigned());
    case GroupKey::Kind::kSeverity:
      return EnumName(event::v1::Severity_descriptor(), value.AsUnsigned());
    case GroupKey::Kind::kAction:
      return EnumName(event::v1::Action_descriptor(), value.AsUnsigned());
    case GroupKey::Kind::kAddress:
      return AddressText(value.text);
    case GroupKey::Kind::kHour:
    case GroupKey::Kind::kDay:
      return FormatTime(TimePoint(std::chrono::seconds(value.AsSigned())));
    case GroupKey::Kind::kText:
      break;
  }
  return ToValidUtf8(value.text);
}

StatusOr<GroupOrder> ParseGroupOrder(std::string_view text) {
  if (text.empty() || text == "count desc") return GroupOrder::kCountDescending;
  if (text == "count") return GroupOrder::kCount;
  if (text == "value") return GroupOrder::kValue;
  if (text == "value desc") return GroupOrder::kValueDescending;
  return InvalidField("order_by", "must be \"count desc\", \"count\", \"value\" or \"value desc\"");
}

StatusOr<SearchOrder> ParseSearchOrder(std::string_view text) {
  if (text.empty() || text == "receive_time desc") return SearchOrder::kNewestFirst;
  if (text == "receive_time" || text == "receive_time asc") return SearchOrder::kOldestFirst;
  return InvalidField("order_by", "must be \"receive_time desc\" or \"receive_time\"");
}

StatusOr<std::string> EventQueries::Where(const Selection& selection, Query* query) const {
  const std::string tenants = TenantCondition(selection.tenants, query);
  const std::string start = TimeParameter(query, "start", selection.window.start);
  const std::string end = TimeParameter(query, "end", selection.window.end);
  std::string where =
      fmt::format("{} AND receive_time >= {} AND receive_time < {}", tenants, start, end);
  if (!selection.filter.empty()) {
    YAGURA_ASSIGN_OR_RETURN(filter::Sql sql, selection.filter.ToSql(table_.column_map()));
    where += " AND " + sql.where;
    query->parameters.merge(sql.parameters);
  }
  return where;
}

StatusOr<Query> EventQueries::Search(const Selection& selection, SearchOrder order,
                                     const std::optional<Position>& after, size_t limit) const {
  Query query;
  YAGURA_ASSIGN_OR_RETURN(std::string where, Where(selection, &query));
  const bool newest = order == SearchOrder::kNewestFirst;
  if (after) {
    const std::string at = TimeParameter(&query, "after", after->receive_time);
    query.parameters["after_id"] = after->event_id;
    // The first comparison lets the store use its index, which a tuple does not.
    where += fmt::format(
        " AND receive_time {0}= {1} AND (receive_time, id) {0} ({1}, {{after_id:String}})",
        newest ? "<" : ">", at);
  }
  const std::string_view direction = newest ? " DESC" : "";
  query.sql =
      fmt::format("SELECT {} FROM yagura.events WHERE {} ORDER BY receive_time{}, id{} LIMIT {}",
                  table_.column_list(), where, direction, direction, limit);
  return query;
}

StatusOr<Query> EventQueries::Count(const Selection& selection) const {
  Query query;
  YAGURA_ASSIGN_OR_RETURN(const std::string where, Where(selection, &query));
  query.sql = fmt::format("SELECT count() FROM yagura.events WHERE {}", where);
  return query;
}

StatusOr<Query> EventQueries::Groups(const Selection& selection, const std::vector<GroupKey>& keys,
                                     GroupOrder order, bool skip_missing, size_t limit) const {
  Query query;
  YAGURA_ASSIGN_OR_RETURN(const std::string where, Where(selection, &query));
  std::vector<std::string> expressions;
  std::vector<std::string> names;
  std::vector<std::string> present = {"1"};
  for (size_t i = 0; i < keys.size(); ++i) {
    std::string expression = keys[i].expression;
    if (expression.empty()) {
      query.parameters[fmt::format("field{}", i)] = keys[i].field_name;
      expression = fmt::format("fields[{{field{}:String}}]", i);
    }
    names.push_back(fmt::format("g{}", i));
    expressions.push_back(fmt::format("{} AS g{}", expression, i));
    if (skip_missing && !keys[i].missing_sql.empty()) {
      present.push_back(fmt::format("g{} != {}", i, keys[i].missing_sql));
    }
  }
  const std::string list = Join(names, ", ");
  query.sql = fmt::format(
      "SELECT {0}, events, total FROM (SELECT {1}, count() AS events, sum(events) OVER () AS total "
      "FROM yagura.events WHERE {2} GROUP BY {0}) WHERE {3} ORDER BY {4} LIMIT {5}",
      list, Join(expressions, ", "), where, Join(present, " AND "), OrderSql(order, keys.size()),
      limit);
  return query;
}

StatusOr<Query> EventQueries::Histogram(const Selection& selection,
                                        std::chrono::seconds interval) const {
  Query query;
  YAGURA_ASSIGN_OR_RETURN(const std::string where, Where(selection, &query));
  query.parameters["width"] = std::to_string(std::chrono::nanoseconds(interval).count());
  query.sql = fmt::format(
      "SELECT intDiv(toUnixTimestamp64Nano(receive_time), {{width:Int64}}) AS bucket, "
      "count() FROM yagura.events WHERE {} GROUP BY bucket ORDER BY bucket",
      where);
  return query;
}

StatusOr<Query> EventQueries::Coverage(const Selection& selection, size_t limit) const {
  Query query;
  YAGURA_ASSIGN_OR_RETURN(const std::string where, Where(selection, &query));
  query.sql = fmt::format(
      "SELECT toString(tenant) AS t, toString(site) AS s, toString(device) AS d, "
      "toString(product) AS p, count(), countIf(has(flaws, {}) OR has(flaws, {})), "
      "countIf(has(flaws, {})), uniqExact(toStartOfHour(receive_time)), min(receive_time), "
      "max(receive_time) FROM yagura.events WHERE {} GROUP BY t, s, d, p ORDER BY t, s, d, p "
      "LIMIT {}",
      static_cast<int>(event::v1::PARTLY_PARSED), static_cast<int>(event::v1::UNPARSED),
      static_cast<int>(event::v1::CLOCK_ERROR), where, limit);
  return query;
}

}  // namespace yagura::archive
