#include "services/archive/domain/selection.h"

#include "fmt/format.h"

#include "common/event/event_view.h"
#include "common/status/status.h"
#include "services/archive/domain/event_table.h"

namespace yagura::archive {
namespace {

constexpr size_t kMaxFieldName = 256;
constexpr std::string_view kNamePlace = "$name";

}  // namespace

std::string TimeSql(std::string_view parameter, TimePoint time, eventstore::Query* query) {
  query->parameters[std::string(parameter)] = std::to_string(time.time_since_epoch().count());
  return fmt::format("fromUnixTimestamp64Nano({{{}:Int64}}, 'UTC')", parameter);
}

std::string TenantSql(const auth::TenantSet& tenants, eventstore::Query* query) {
  if (tenants.all) return "1";
  if (tenants.tenants.size() == 1) {
    query->parameters["tenant"] = *tenants.tenants.begin();
    return "tenant = {tenant:String}";
  }
  query->array_parameters["tenants"] =
      eventstore::ArrayParameter({tenants.tenants.begin(), tenants.tenants.end()});
  return "has({tenants:Array(String)}, tenant)";
}

std::string WindowSql(const TimeWindow& window, eventstore::Query* query) {
  const TimeWindow receipt = ReceiptOf(window);
  const std::string first = TimeSql("start", receipt.start, query);
  const std::string last = TimeSql("end", receipt.end, query);
  std::string sql = fmt::format("receive_time >= {} AND receive_time < {}", first, last);
  if (window.basis == TimeBasis::kReceived) return sql;
  const std::string start = TimeSql("window_start", window.start, query);
  const std::string end = TimeSql("window_end", window.end, query);
  const std::string happened = fmt::format("event_time >= {} AND event_time < {}", start, end);
  if (window.basis == TimeBasis::kHappened) return sql + " AND " + happened;
  return sql + fmt::format(" AND ((receive_time >= {} AND receive_time < {}) OR ({}))", start, end,
                           happened);
}

std::string_view TimeColumn(const TimeWindow& window) {
  return window.basis == TimeBasis::kHappened ? "event_time" : "receive_time";
}

StatusOr<std::string> WhereSql(const Selection& selection, const EventTable& table,
                               eventstore::Query* query) {
  const std::string tenants = TenantSql(selection.tenants, query);
  std::string where = fmt::format("{} AND {}", tenants, WindowSql(selection.window, query));
  if (!selection.filter.empty()) {
    YAGURA_ASSIGN_OR_RETURN(filter::Sql sql, selection.filter.ToSql(table.column_map()));
    where += " AND " + sql.where;
    query->parameters.merge(sql.parameters);
  }
  return where;
}

std::string OriginalFieldSql(const EventTable& table, std::string_view name,
                             std::string_view parameter, eventstore::Query* query) {
  query->parameters[std::string(parameter)] = name;
  const std::string reference = fmt::format("{{{}:String}}", parameter);
  std::string sql = table.FieldExpression(name);
  for (size_t at = sql.find(kNamePlace); at != std::string::npos;
       at = sql.find(kNamePlace, at + reference.size())) {
    sql.replace(at, kNamePlace.size(), reference);
  }
  return sql;
}

StatusOr<std::string> OriginalFieldName(std::string_view path, std::string_view request_field) {
  const std::string_view name = path.substr(kFieldPrefix.size());
  if (name.empty() || name.size() > kMaxFieldName) {
    return InvalidField(request_field, "the name of an original field has 1 to 256 bytes");
  }
  return std::string(name);
}

std::string AddressBytes(std::string_view bytes) {
  constexpr std::string_view kMapped("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
  if (bytes.find_first_not_of('\0') == std::string_view::npos) return "";
  if (bytes.starts_with(kMapped)) bytes.remove_prefix(kMapped.size());
  return std::string(bytes);
}

std::string AddressText(std::string_view bytes) {
  const std::string address = AddressBytes(bytes);
  return address.empty() ? "" : event::IpAddress::FromBytes(address).ToString();
}

}  // namespace yagura::archive
