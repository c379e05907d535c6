#include "services/archive/domain/measures_table.h"

#include <array>
#include <utility>
#include <vector>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"
#include "services/archive/domain/coverage_table.h"
#include "services/archive/domain/flow_table.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::archive {
namespace {

using eventstore::Query;
using filter::ColumnType;

constexpr int kRetentionDays = 400;
// The version of the schema that begins to fill the table, see storage/migrations.cc.
constexpr int kSinceSchema = 11;

struct Range {
  std::string_view first;
  std::string_view last;
};
// Addresses that nobody outside has. IPv6: all but global unicast, 2000::/3 and what maps IPv4.
constexpr std::array<Range, 14> kNotPublic = {{
    {"::ffff:0.0.0.0", "::ffff:0.255.255.255"},
    {"::ffff:10.0.0.0", "::ffff:10.255.255.255"},
    {"::ffff:100.64.0.0", "::ffff:100.127.255.255"},
    {"::ffff:127.0.0.0", "::ffff:127.255.255.255"},
    {"::ffff:169.254.0.0", "::ffff:169.254.255.255"},
    {"::ffff:172.16.0.0", "::ffff:172.31.255.255"},
    {"::ffff:192.0.0.0", "::ffff:192.0.0.255"},
    {"::ffff:192.168.0.0", "::ffff:192.168.255.255"},
    {"::ffff:192.88.99.0", "::ffff:192.88.99.255"},
    {"::ffff:198.18.0.0", "::ffff:198.19.255.255"},
    {"::ffff:224.0.0.0", "::ffff:255.255.255.255"},
    {"::", "::fffe:ffff:ffff"},
    {"::1:0:0:0", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    {"4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
}};

std::string NotPublicSql(std::string_view column) {
  std::vector<std::string> ranges;
  for (const Range& range : kNotPublic) {
    ranges.push_back(fmt::format("({0} >= toIPv6('{1}') AND {0} <= toIPv6('{2}'))", column,
                                 range.first, range.last));
  }
  return "(" + Join(ranges, " OR ") + ")";
}

const filter::ColumnMap& Columns() {
  static const filter::ColumnMap kColumns = [] {
    filter::ColumnMap map;
    for (const char* text : {"tenant", "site", "device"}) {
      map.columns[text] = {text, ColumnType::kString};
    }
    for (const char* number :
         {"event_count", "deny_count", "outside_bytes", "outside_destination_count",
          "signature_count", "grave_signature_count", "failed_logon_count"}) {
      map.columns[number] = {number, ColumnType::kInteger};
    }
    map.columns["start_time"] = {"toDateTime64(toDateTime(start, 'UTC'), 9, 'UTC')",
                                 ColumnType::kTime};
    return map;
  }();
  return kColumns;
}

int64_t SecondsOf(TimePoint time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

}  // namespace

std::string InsideSql(std::string_view end) {
  return fmt::format(
      "({0}_ip != toIPv6('::') AND ({1} OR fields['enriched.{0}.scope'] = "
      "'internal'))",
      end, NotPublicSql(fmt::format("{}_ip", end)));
}

std::string OutsideSql(std::string_view end) {
  return fmt::format(
      "({0}_ip != toIPv6('::') AND NOT {1} AND fields['enriched.{0}.scope'] != "
      "'internal')",
      end, NotPublicSql(fmt::format("{}_ip", end)));
}

std::string CreateMeasures(std::string_view settings) {
  return fmt::format(
      "CREATE TABLE IF NOT EXISTS yagura.hourly_measures (\n"
      "tenant LowCardinality(String) CODEC(ZSTD(1)),\n"
      "device LowCardinality(String) CODEC(ZSTD(1)),\n"
      "site LowCardinality(String) CODEC(ZSTD(1)),\n"
      "hour DateTime('UTC') CODEC(Delta, ZSTD(1)),\n"
      "events SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),\n"
      "denies SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),\n"
      "sent_outside SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),\n"
      "destinations AggregateFunction(uniqCombined(12), IPv6) CODEC(ZSTD(1)),\n"
      "signatures SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),\n"
      "grave_signatures SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),\n"
      "failed_logons SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1))\n"
      ") ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(hour) "
      "ORDER BY (tenant, device, site, hour) TTL hour + toIntervalDay({}) SETTINGS {}",
      kRetentionDays, settings);
}

// Renamed within: an aggregate must not have the name of what it is made of.
std::string CreateMeasuresView() {
  const std::string let_through =
      fmt::format("action IN ({}, {}, {})", static_cast<int>(event::v1::ALLOWED),
                  static_cast<int>(event::v1::STARTED), static_cast<int>(event::v1::ENDED));
  return fmt::format(
      "CREATE MATERIALIZED VIEW IF NOT EXISTS yagura.hourly_measures_of_events TO "
      "yagura.hourly_measures AS SELECT tenant, device, site, hour, count() AS events, "
      "countIf(a = {0}) AS denies, sumIf(o, outward) AS sent_outside, "
      "uniqCombinedStateIf(12)(dst_ip, outward AND through) AS destinations, "
      "countIf(has_signature) AS signatures, countIf(has_signature AND s >= {1}) AS "
      "grave_signatures, countIf(a = {2}) AS failed_logons FROM (SELECT tenant, device, site, "
      "toDateTime(toStartOfHour(if(event_time >= receive_time - toIntervalDay(7) AND event_time <= "
      "receive_time + toIntervalHour(1), event_time, receive_time)), 'UTC') AS hour, "
      "action AS a, severity AS s, dst_ip, {3} AS o, ({4} AND {5}) AS outward, {6} AS through, "
      "(signature_id != '' OR signature != '') AS has_signature FROM yagura.events) "
      "GROUP BY tenant, device, site, hour",
      static_cast<int>(event::v1::BLOCKED), static_cast<int>(event::v1::HIGH),
      static_cast<int>(event::v1::LOGON_FAILED), FlowBytesOut(), InsideSql("src"),
      OutsideSql("dst"), let_through);
}

filter::Schema MeasuresSchema() { return filter::Schema(v1::HourlyMeasures::descriptor()); }

StatusOr<Query> MeasuresQuery(const Selection& selection, const MeasuresPlace* after,
                              size_t limit) {
  Query query;
  const std::string tenants = TenantSql(selection.tenants, &query);
  const TimeWindow hours = WholeHours(selection.window);
  query.parameters["from"] = std::to_string(SecondsOf(hours.start));
  query.parameters["to"] = std::to_string(SecondsOf(hours.end));
  std::string where = "1";
  if (!selection.filter.empty()) {
    YAGURA_ASSIGN_OR_RETURN(filter::Sql sql, selection.filter.ToSql(Columns()));
    where = std::move(sql.where);
    query.parameters.merge(sql.parameters);
  }
  if (after != nullptr) {
    query.parameters["after_tenant"] = after->tenant;
    query.parameters["after_device"] = after->device;
    query.parameters["after_site"] = after->site;
    query.parameters["after_start"] = std::to_string(after->start);
    where +=
        " AND (tenant, device, site, start) > ({after_tenant:String}, {after_device:String}, "
        "{after_site:String}, {after_start:Int64})";
  }
  // Renamed within: an aggregate must not have the name of what it is made of.
  query.sql = fmt::format(
      "SELECT tenant, site, device, start, event_count, deny_count, outside_bytes, "
      "outside_destination_count, signature_count, grave_signature_count, failed_logon_count FROM "
      "(SELECT t AS tenant, p AS site, d AS device, at AS start, sum(events) AS event_count, "
      "sum(denies) AS deny_count, sum(sent_outside) AS outside_bytes, "
      "uniqCombinedMerge(12)(destinations) AS outside_destination_count, "
      "sum(signatures) AS signature_count, sum(grave_signatures) AS grave_signature_count, "
      "sum(failed_logons) AS failed_logon_count FROM (SELECT toString(tenant) AS t, "
      "toString(site) AS p, toString(device) AS d, toInt64(toUnixTimestamp(hour)) AS at, events, "
      "denies, sent_outside, destinations, signatures, grave_signatures, failed_logons FROM "
      "yagura.hourly_measures WHERE {} AND hour >= toDateTime({{from:Int64}}, 'UTC') AND "
      "hour < toDateTime({{to:Int64}}, 'UTC')) GROUP BY t, p, d, at) WHERE {} "
      "ORDER BY tenant, device, site, start LIMIT {}",
      tenants, where, limit);
  return query;
}

v1::HourlyMeasures DecodeMeasures(const eventstore::Row& row) {
  v1::HourlyMeasures measures;
  size_t i = 0;
  measures.set_tenant(row.at(i++).AsText());
  measures.set_site(row.at(i++).AsText());
  measures.set_device(row.at(i++).AsText());
  measures.mutable_start_time()->set_seconds(row.at(i++).AsSigned());
  measures.set_event_count(row.at(i++).AsUnsigned());
  measures.set_deny_count(row.at(i++).AsUnsigned());
  measures.set_outside_bytes(row.at(i++).AsUnsigned());
  measures.set_outside_destination_count(row.at(i++).AsUnsigned());
  measures.set_signature_count(row.at(i++).AsUnsigned());
  measures.set_grave_signature_count(row.at(i++).AsUnsigned());
  measures.set_failed_logon_count(row.at(i).AsUnsigned());
  return measures;
}

Query MeasuresKnownSince() {
  Query query;
  query.sql =
      "SELECT toInt64(toUnixTimestamp(min(applied))) FROM yagura.schema_version WHERE version = "
      "{version:UInt32} HAVING count() > 0";
  query.parameters["version"] = std::to_string(kSinceSchema);
  return query;
}

}  // namespace yagura::archive
