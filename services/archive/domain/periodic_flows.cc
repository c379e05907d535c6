#include "services/archive/domain/periodic_flows.h"

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/archive/domain/measures_table.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::archive {
namespace {

// Calls closer together than this are one, in milliseconds.
constexpr int kTogether = 10'000;
// Who has more events is no beacon; it also bounds what the store keeps of one pair.
constexpr int kMostEvents = 8'000;
constexpr int kLeastDeviation = 2'000;  // milliseconds: many clocks count whole seconds
// Who calls whom, as a number: what most pairs are counted by, that have too few events or too
// many.
constexpr std::string_view kPair =
    "sipHash64(tenant, site, src_ip, dst_ip, dst_port, toString(protocol))";

}  // namespace

absl::StatusOr<eventstore::Query> PeriodicFlowsQuery(const Selection& selection,
                                                     const EventTable& table,
                                                     const PeriodicQuestion& question) {
  eventstore::Query query;
  YAGURA_ASSIGN_OR_RETURN(const std::string where, WhereSql(selection, table, &query));
  query.parameters["least_calls"] = std::to_string(question.least_calls);
  query.parameters["most_jitter"] = fmt::format("{}", question.most_jitter);
  const std::string which =
      fmt::format("{} AND {} AND {}", where, InsideSql("src"), OutsideSql("dst"));
  // Times and sizes are kept of those pairs alone that can be regular: of millions of others,
  // and of one with millions of events, they would take all memory.
  const std::string regular = fmt::format(
      "SELECT {} AS pair FROM yagura.events WHERE {} GROUP BY pair "
      "HAVING count() >= {{least_calls:UInt64}} AND count() <= {}",
      kPair, which, kMostEvents);
  // When a session began: most products tell of its end, with how long it lasted. Times are
  // milliseconds since 1970.
  const std::string events = fmt::format(
      "SELECT toString(tenant) AS t, toString(site) AS p, src_ip AS s, dst_ip AS d, dst_port AS o, "
      "toString(protocol) AS r, action = {} AS blocked, bytes_out AS sent, "
      "toInt64(toUnixTimestamp64Milli(event_time)) - intDiv(greatest(duration, 0), 1000000) AS at "
      "FROM yagura.events WHERE {} AND {} IN ({})",
      static_cast<int>(event::v1::BLOCKED), which, kPair, regular);
  const std::string pairs = fmt::format(
      "SELECT t, p, s, d, o, r, count() AS events, countIf(blocked) AS not_through, "
      "arraySort(groupArray({0})(at)) AS times, "
      "quantilesExactIf(0.25, 0.5, 0.75)(sent, sent > 0) AS sizes, countIf(sent > 0) AS sized "
      "FROM ({1}) GROUP BY t, p, s, d, o, r "
      "HAVING events >= {{least_calls:UInt64}} AND events <= {0}",
      kMostEvents, events);
  // Tables as large as those of the last query of its like could be larger than it may be, where
  // those that grow go on from disk in time.
  query.settings["collect_hash_table_stats_during_aggregation"] = "0";
  // An array that a lambda names besides its arguments is copied for each element: none does.
  query.sql = fmt::format(
      "SELECT t, p, s, d, o, r, events, not_through, toUInt64(length(calls)) AS called, "
      "toInt64(calls[1]) AS first, toInt64(calls[-1]) AS last, toInt64(middle) AS median, "
      "toInt64(away) AS deviation, if(sized > 0, toUInt64(sizes[2]), toUInt64(0)) AS size, "
      "if(sized > 0, toUInt64(sizes[3] - sizes[1]), toUInt64(0)) AS size_range FROM "
      "(SELECT *, arrayReduce('medianExact', arrayMap(x -> abs(x - middle), pauses)) AS away FROM "
      "(SELECT *, arrayReduce('medianExact', pauses) AS middle FROM "
      "(SELECT *, arrayPopFront(arrayDifference(calls)) AS pauses FROM "
      "(SELECT *, arrayFilter((x, gap, i) -> i = 1 OR gap > {}, times, arrayDifference(times), "
      "arrayEnumerate(times)) AS calls FROM ({})) "
      "WHERE length(calls) >= {{least_calls:UInt64}}))) "
      "WHERE away <= greatest({{most_jitter:Float64}} * middle, {}) "
      "ORDER BY away / greatest(middle, 1), called DESC, t, p, s, d, o, r LIMIT {}",
      kTogether, pairs, kLeastDeviation, question.limit);
  return query;
}

v1::PeriodicFlow DecodePeriodicFlow(const eventstore::Row& row) {
  constexpr double kMilli = 1000;
  const auto time = [](int64_t milliseconds) {
    return ToProto(TimePoint(std::chrono::milliseconds(milliseconds)));
  };
  v1::PeriodicFlow flow;
  size_t i = 0;
  flow.set_tenant(row.at(i++).AsText());
  flow.set_site(row.at(i++).AsText());
  flow.set_src_ip(AddressBytes(row.at(i++).text));
  flow.set_dst_ip(AddressBytes(row.at(i++).text));
  flow.set_dst_port(static_cast<uint32_t>(row.at(i++).AsUnsigned()));
  flow.set_protocol(ToValidUtf8(row.at(i++).text));
  flow.set_event_count(row.at(i++).AsUnsigned());
  flow.set_blocked_count(row.at(i++).AsUnsigned());
  flow.set_call_count(row.at(i++).AsUnsigned());
  *flow.mutable_first_time() = time(row.at(i++).AsSigned());
  *flow.mutable_last_time() = time(row.at(i++).AsSigned());
  flow.set_median_interval_seconds(static_cast<double>(row.at(i++).AsSigned()) / kMilli);
  flow.set_interval_deviation_seconds(static_cast<double>(row.at(i++).AsSigned()) / kMilli);
  flow.set_median_bytes_out(row.at(i++).AsUnsigned());
  flow.set_bytes_out_spread(static_cast<double>(row.at(i).AsUnsigned()) / 2);
  return flow;
}

}  // namespace yagura::archive
