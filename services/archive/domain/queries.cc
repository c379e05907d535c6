#include "services/archive/domain/queries.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::archive {
namespace {

using eventstore::Query;

constexpr size_t kMaxPathShown = 256;
constexpr int64_t kHourSeconds = 3600;
constexpr int64_t kDaySeconds = 86'400;

std::string EnumName(const google::protobuf::EnumDescriptor* descriptor, uint64_t number) {
  if (number == 0) return "";
  const auto* value = descriptor->FindValueByNumber(static_cast<int>(number));
  return value == nullptr ? std::to_string(number) : value->name();
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

// Of events received at once: the batch (26 characters of the id), and the place in it, whose
// numbers are not padded.
std::vector<std::string> PlaceInBatch(std::string_view id, bool by_text) {
  if (by_text) return {std::string(id)};
  return {fmt::format("left({}, 26)", id), fmt::format("length({})", id), std::string(id)};
}

}  // namespace

StatusOr<GroupKey> ParseGroupKey(std::string_view path, const EventTable& table,
                                 std::string_view request_field) {
  if (path == "receive_hour") return TimeKey(GroupKey::Kind::kHour, kHourSeconds);
  if (path == "receive_day") return TimeKey(GroupKey::Kind::kDay, kDaySeconds);
  GroupKey key;
  key.missing_sql = "''";
  if (path.starts_with(kFieldPrefix)) {
    YAGURA_ASSIGN_OR_RETURN(key.field_name, OriginalFieldName(path, request_field));
    return key;
  }
  const EventColumn* column = table.FindPath(path);
  if (column == nullptr) {
    return InvalidField(request_field, fmt::format("unknown field \"{}\"",
                                                   ToValidUtf8(path.substr(0, kMaxPathShown))));
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
      return InvalidField(request_field, fmt::format("\"{}\" cannot be grouped by", path));
  }
}

std::string GroupKeySql(const GroupKey& key, const EventTable& table, std::string_view parameter,
                        Query* query) {
  if (!key.expression.empty()) return key.expression;
  return OriginalFieldSql(table, key.field_name, parameter, query);
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

StatusOr<Query> EventQueries::Search(const Selection& selection, SearchOrder order,
                                     const std::optional<Position>& after, size_t limit) const {
  Query query;
  YAGURA_ASSIGN_OR_RETURN(std::string where, WhereSql(selection, table_, &query));
  const bool newest = order == SearchOrder::kNewestFirst;
  const bool by_text = after && after->ids_as_text;
  if (after) {
    const std::string at = TimeSql("after", after->receive_time, &query);
    query.parameters["after_id"] = after->event_id;
    // The first comparison lets the store use its index, which a tuple does not.
    where += fmt::format(" AND receive_time {0}= {1} AND (receive_time, {2}) {0} ({1}, {3})",
                         newest ? "<" : ">", at, Join(PlaceInBatch("id", by_text), ", "),
                         Join(PlaceInBatch("{after_id:String}", by_text), ", "));
  }
  std::string order_by = "receive_time";
  for (const std::string& key : PlaceInBatch("id", by_text)) {
    order_by += fmt::format("{}, {}", newest ? " DESC" : "", key);
  }
  query.sql = fmt::format("SELECT {} FROM yagura.events WHERE {} ORDER BY {}{} LIMIT {}",
                          table_.column_list(), where, order_by, newest ? " DESC" : "", limit);
  return query;
}

StatusOr<Query> EventQueries::Count(const Selection& selection) const {
  Query query;
  YAGURA_ASSIGN_OR_RETURN(const std::string where, WhereSql(selection, table_, &query));
  query.sql = fmt::format("SELECT count() FROM yagura.events WHERE {}", where);
  return query;
}

StatusOr<Query> EventQueries::Groups(const Selection& selection, const std::vector<GroupKey>& keys,
                                     GroupOrder order, bool skip_missing, size_t limit) const {
  Query query;
  YAGURA_ASSIGN_OR_RETURN(const std::string where, WhereSql(selection, table_, &query));
  std::vector<std::string> expressions;
  std::vector<std::string> names;
  std::vector<std::string> present = {"1"};
  for (size_t i = 0; i < keys.size(); ++i) {
    const std::string expression = GroupKeySql(keys[i], table_, fmt::format("field{}", i), &query);
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
  YAGURA_ASSIGN_OR_RETURN(const std::string where, WhereSql(selection, table_, &query));
  query.parameters["width"] = std::to_string(std::chrono::nanoseconds(interval).count());
  query.sql = fmt::format(
      "SELECT intDiv(toUnixTimestamp64Nano({}), {{width:Int64}}) AS bucket, count() FROM "
      "yagura.events WHERE {} GROUP BY bucket ORDER BY bucket",
      TimeColumn(selection.window), where);
  return query;
}

StatusOr<Query> EventQueries::Coverage(const Selection& selection, size_t limit) const {
  Query query;
  YAGURA_ASSIGN_OR_RETURN(const std::string where, WhereSql(selection, table_, &query));
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

v1::SourceCoverage SourceOf(const eventstore::Row& row) {
  v1::SourceCoverage source;
  source.set_tenant(row.at(0).text);
  source.set_site(row.at(1).text);
  source.set_device(row.at(2).text);
  source.set_product(row.at(3).text);
  source.set_event_count(row.at(4).AsUnsigned());
  source.set_flawed_count(row.at(5).AsUnsigned());
  source.set_clock_error_count(row.at(6).AsUnsigned());
  source.set_hours_with_events(static_cast<uint32_t>(row.at(7).AsUnsigned()));
  *source.mutable_first_receive_time() = ToProto(row.at(8).AsTime());
  *source.mutable_last_receive_time() = ToProto(row.at(9).AsTime());
  return source;
}

}  // namespace yagura::archive
