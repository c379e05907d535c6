#include "services/archive/domain/flow_table.h"

#include <algorithm>
#include <array>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::archive {
namespace {

using eventstore::Query;

struct Key {
  std::string_view name;
  std::string_view empty;  // SQL of what stands for "not told"
  filter::ColumnType type;
};

constexpr std::array<Key, 7> kKeys = {{{"tenant", "''", filter::ColumnType::kString},
                                       {"site", "''", filter::ColumnType::kString},
                                       {"src_ip", "toIPv6('::')", filter::ColumnType::kIp},
                                       {"dst_ip", "toIPv6('::')", filter::ColumnType::kIp},
                                       {"protocol", "''", filter::ColumnType::kString},
                                       {"dst_port", "0", filter::ColumnType::kInteger},
                                       {"verdict", "0", filter::ColumnType::kInteger}}};

std::string KeyList() {
  std::vector<std::string_view> names;
  for (const Key& key : kKeys) names.push_back(key.name);
  return Join(names, ", ");
}

const filter::ColumnMap& Columns() {
  static const filter::ColumnMap kColumns = [] {
    filter::ColumnMap map;
    for (const Key& key : kKeys) {
      map.columns[std::string(key.name)] = {std::string(key.name), key.type};
    }
    for (const char* number : {"event_count", "bytes_out", "bytes_in", "flow_count"}) {
      map.columns[number] = {number, filter::ColumnType::kInteger};
    }
    for (const char* time : {"first_time", "last_time"}) {
      map.columns[time] = {time, filter::ColumnType::kTime};
    }
    return map;
  }();
  return kColumns;
}

// Days as the store's Date wants them.
std::string DaySql(std::string_view parameter, TimePoint time, Query* query) {
  const auto days = std::chrono::floor<std::chrono::days>(time).time_since_epoch().count();
  query->parameters[std::string(parameter)] = std::to_string(std::max<int64_t>(days, 0));
  return fmt::format("toDate({{{}:UInt16}})", parameter);
}

std::string BytesSql(std::string_view column, std::string_view delta) {
  return fmt::format(
      "multiIf(action = {0}, 0, product = 'fortinet.fortigate' AND fields['{2}'] != '', "
      "toUInt64OrZero(toString(fields['{2}'])), product = 'fortinet.fortigate' AND category = "
      "'traffic' AND endsWith(vendor_event_id, '000020'), 0, {1})",
      static_cast<int>(event::v1::STARTED), column, delta);
}

// Renamed within: an aggregate must not have the name of what it is made of.
std::string ViewSelect() {
  return fmt::format(
      "SELECT tenant, day, site, src_ip, dst_ip, protocol, dst_port, verdict, count() AS "
      "event_count, sum(o) AS bytes_out, sum(i) AS bytes_in, min(receive_time) AS first_time, "
      "max(receive_time) AS last_time FROM (SELECT tenant, toDate(receive_time, 'UTC') AS day, "
      "site, src_ip, dst_ip, protocol, dst_port, {} AS verdict, {} AS o, {} AS i, receive_time "
      "FROM yagura.events WHERE src_ip != toIPv6('::') AND dst_ip != toIPv6('::')) GROUP BY day, "
      "{}",
      FlowVerdict(), FlowBytesOut(), FlowBytesIn(), KeyList());
}

}  // namespace

std::string CreateFlows(std::string_view settings) {
  return fmt::format(
      "CREATE TABLE IF NOT EXISTS yagura.flows (\n"
      "tenant LowCardinality(String) CODEC(ZSTD(1)),\n"
      "day Date CODEC(ZSTD(1)),\n"
      "site LowCardinality(String) CODEC(ZSTD(1)),\n"
      "src_ip IPv6 CODEC(ZSTD(1)),\n"
      "dst_ip IPv6 CODEC(ZSTD(1)),\n"
      "protocol LowCardinality(String) CODEC(ZSTD(1)),\n"
      "dst_port UInt32 CODEC(ZSTD(1)),\n"
      "verdict UInt8 CODEC(ZSTD(1)),\n"
      "event_count SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),\n"
      "bytes_out SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),\n"
      "bytes_in SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),\n"
      "first_time SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(Delta, ZSTD(1)),\n"
      "last_time SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(Delta, ZSTD(1)),\n"
      "INDEX dst_ip_bloom dst_ip TYPE bloom_filter(0.01) GRANULARITY 1\n"
      ") ENGINE = AggregatingMergeTree PARTITION BY day "
      "ORDER BY (tenant, src_ip, dst_ip, protocol, dst_port, verdict, site) SETTINGS {}",
      settings);
}

std::string FlowBytesOut() { return BytesSql("bytes_out", "sentdelta"); }
std::string FlowBytesIn() { return BytesSql("bytes_in", "rcvddelta"); }

std::string FlowVerdict() {
  return fmt::format("if(action IN ({}, {}), {}, action)", static_cast<int>(event::v1::STARTED),
                     static_cast<int>(event::v1::ENDED), static_cast<int>(event::v1::ALLOWED));
}

std::string CreateFlowsView() {
  return "CREATE MATERIALIZED VIEW IF NOT EXISTS yagura.flows_of_events TO yagura.flows AS " +
         ViewSelect();
}

std::string AlterFlowsView() {
  return "ALTER TABLE yagura.flows_of_events MODIFY QUERY " + ViewSelect();
}

filter::Schema FlowSchema() {
  return filter::Schema(v1::Flow::descriptor()).Ip("src_ip").Ip("dst_ip");
}

StatusOr<FlowQuery> FlowQuery::Parse(const std::string& order_by,
                                     const std::vector<std::string>& group_by) {
  FlowQuery query;
  for (const std::string& name : group_by) {
    if (std::none_of(kKeys.begin(), kKeys.end(),
                     [&name](const Key& key) { return key.name == name; })) {
      return InvalidField("group_by", fmt::format("\"{}\" is none of {}",
                                                  ToValidUtf8(name.substr(0, 256)), KeyList()));
    }
    query.keys_.push_back(name);
  }
  constexpr std::string_view kDescending = " desc";
  std::string_view name = order_by.empty() ? std::string_view("bytes desc") : order_by;
  query.descending_ = name.ends_with(kDescending);
  if (query.descending_) name.remove_suffix(kDescending.size());
  if (name == "bytes") {
    query.order_ = "bytes_out + bytes_in";
  } else if (name == "event_count" || name == "flow_count") {
    query.order_ = name;
  } else if (name == "first_time" || name == "last_time") {
    query.order_ = fmt::format("toUInt64(toUnixTimestamp64Nano({}))", name);
  } else {
    return InvalidField("order_by",
                        "must be \"bytes\", \"event_count\", \"flow_count\", \"first_time\" or "
                        "\"last_time\", also with \" desc\"");
  }
  return query;
}

StatusOr<Query> FlowQuery::Select(const Selection& selection, const std::optional<Position>& after,
                                  size_t limit) const {
  Query query;
  const std::string tenants = TenantSql(selection.tenants, &query);
  const std::string first = DaySql("first_day", selection.window.start, &query);
  const std::string last =
      DaySql("last_day", selection.window.end - std::chrono::nanoseconds(1), &query);
  std::string where = "(1)";
  if (!selection.filter.empty()) {
    YAGURA_ASSIGN_OR_RETURN(filter::Sql sql, selection.filter.ToSql(Columns()));
    where = std::move(sql.where);
    query.parameters.merge(sql.parameters);
  }
  // Renamed within: an aggregate must not have the name of what it is made of.
  const std::string flows = fmt::format(
      "SELECT {0}, e AS event_count, o AS bytes_out, i AS bytes_in, f AS first_time, l AS "
      "last_time, toUInt64(1) AS flow_count FROM (SELECT {0}, sum(event_count) AS e, "
      "sum(bytes_out) AS o, sum(bytes_in) AS i, min(first_time) AS f, max(last_time) AS l FROM "
      "yagura.flows WHERE {1} AND day >= {2} AND day <= {3} GROUP BY {0})",
      KeyList(), tenants, first, last);
  std::vector<std::string> selected;
  std::vector<std::string> group;
  for (const Key& key : kKeys) {
    const bool grouped = !keys_.empty();
    const bool kept = !grouped || std::find(keys_.begin(), keys_.end(), key.name) != keys_.end();
    selected.push_back(kept ? std::string(key.name)
                            : fmt::format("{} AS {}_", key.empty, key.name));
    if (kept) group.emplace_back(key.name);
  }
  std::string source = fmt::format(
      "SELECT {}, event_count AS e, bytes_out AS o, bytes_in AS i, first_time AS f, last_time AS "
      "l, "
      "flow_count AS n FROM ({}) WHERE {}",
      Join(selected, ", "), flows, where);
  if (!keys_.empty()) {
    source = fmt::format(
        "SELECT {}, sum(event_count) AS e, sum(bytes_out) AS o, sum(bytes_in) AS i, "
        "min(first_time) AS f, max(last_time) AS l, sum(flow_count) AS n FROM ({}) WHERE {} GROUP "
        "BY {}",
        Join(selected, ", "), flows, where, Join(group, ", "));
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < kKeys.size(); ++i) names.push_back(fmt::format("k{}", i));
  std::string page = "1";
  if (after) {
    query.parameters["after_value"] = std::to_string(after->order_value);
    query.parameters["after_hash"] = std::to_string(after->key_hash);
    page = fmt::format("(value, hash) {} ({{after_value:UInt64}}, {{after_hash:UInt64}})",
                       descending_ ? "<" : ">");
  }
  const std::string_view direction = descending_ ? " DESC" : "";
  // Columns of the rows by their places, whatever was grouped.
  std::vector<std::string> columns = names;
  for (const char* name :
       {"event_count", "bytes_out", "bytes_in", "first_time", "last_time", "flow_count"}) {
    columns.emplace_back(name);
  }
  query.sql = fmt::format(
      "WITH rows ({0}) AS ({1}) SELECT {2}, event_count, bytes_out, bytes_in, first_time, "
      "last_time, "
      "flow_count, toUInt64({3}) AS value, cityHash64({2}) AS hash FROM rows WHERE {4} ORDER BY "
      "value{5}, hash{5} LIMIT {6}",
      Join(columns, ", "), source, Join(names, ", "), order_, page, direction, limit);
  return query;
}

v1::Flow FlowQuery::Decode(const eventstore::Row& row) {
  v1::Flow flow;
  size_t i = 0;
  flow.set_tenant(row.at(i++).text);
  flow.set_site(row.at(i++).text);
  flow.set_src_ip(AddressBytes(row.at(i++).text));
  flow.set_dst_ip(AddressBytes(row.at(i++).text));
  flow.set_protocol(ToValidUtf8(row.at(i++).text));
  flow.set_dst_port(static_cast<uint32_t>(row.at(i++).AsUnsigned()));
  flow.set_verdict(static_cast<event::v1::Action>(row.at(i++).AsUnsigned()));
  flow.set_event_count(row.at(i++).AsUnsigned());
  flow.set_bytes_out(row.at(i++).AsUnsigned());
  flow.set_bytes_in(row.at(i++).AsUnsigned());
  *flow.mutable_first_time() = ToProto(row.at(i++).AsTime());
  *flow.mutable_last_time() = ToProto(row.at(i++).AsTime());
  flow.set_flow_count(row.at(i).AsUnsigned());
  return flow;
}

FlowQuery::Position FlowQuery::PositionOf(const eventstore::Row& row) {
  return {row.at(row.size() - 2).AsUnsigned(), row.back().AsUnsigned()};
}

}  // namespace yagura::archive
