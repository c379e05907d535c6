#include "services/archive/domain/coverage_table.h"

#include <algorithm>
#include <optional>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/archive/domain/selection.h"

namespace yagura::archive {
namespace {

using eventstore::Query;
using eventstore::Row;
using filter::ColumnType;
using ingestion::v1::CoverageReport;
using std::chrono::seconds;

// Kept for three years, whatever the retention of events: some 50 bytes an hour.
constexpr int kRetentionDays = 1100;
constexpr int64_t kHour = 3600;
constexpr int64_t kDay = 86'400;
// Hours since 1970 that the store's DateTime can hold.
constexpr int64_t kMaxHour = 0xffff'ffffll / kHour;
constexpr int kMaxOffsets = 256;
// What ingestion tells is here so much later at most; until then no minute counts as unwatched.
constexpr seconds kLongestReport{600};

struct SourceName {
  std::string_view tenant;  // empty: of the process itself
  std::string_view source;  // empty: lines without one
  std::string_view site;    // of these, where a relay took them
};

// SourceHour.source; nothing where it is none.
std::optional<SourceName> ParseSource(std::string_view name) {
  if (name.empty()) return SourceName{};
  const auto parts = Split(name, '/');
  if (parts.size() < 2 || parts[0] != "tenants" || parts[1].empty()) return std::nullopt;
  if (parts.size() == 2) return SourceName{parts[1], {}, {}};
  if (parts.size() != 4 || parts[3].empty()) return std::nullopt;
  if (parts[2] == "sources") return SourceName{parts[1], parts[3], {}};
  if (parts[2] == "sites") return SourceName{parts[1], {}, parts[3]};
  return std::nullopt;
}

// Sites without a source are told apart by this alone in the table's order.
std::string InstanceOf(const CoverageReport& report, const SourceName& name) {
  return name.site.empty() ? report.instance()
                           : fmt::format("{}/sites/{}", report.instance(), name.site);
}

TimePoint TimeOf(const google::protobuf::Timestamp& time) {
  return time.seconds() == 0 ? TimePoint{} : FromProto(time);
}

int64_t SecondsOf(TimePoint time) {
  return std::chrono::floor<seconds>(time).time_since_epoch().count();
}

const filter::ColumnMap& CoverageColumnMap() {
  static const filter::ColumnMap kMap = [] {
    filter::ColumnMap map;
    for (const char* text : {"tenant", "source", "site", "device"}) {
      map.columns[text] = {text, ColumnType::kString};
    }
    for (const char* number :
         {"line_count", "byte_count", "lost_count", "kernel_drop_count", "unparsed_count",
          "partly_parsed_count", "clock_error_count", "untimed_count", "hours_with_lines",
          "silent_minutes", "unwatched_minutes", "silent_hours"}) {
      map.columns[number] = {number, ColumnType::kInteger};
    }
    map.columns["start_time"] = {"toDateTime64(toDateTime(start, 'UTC'), 9, 'UTC')",
                                 ColumnType::kTime};
    for (const char* time : {"first_receive_time", "last_receive_time"}) {
      map.columns[time] = {time, ColumnType::kTime};
    }
    return map;
  }();
  return kMap;
}

// The middle one of values that each come so often.
int64_t WeightedMedian(const eventstore::Value& pairs) {
  uint64_t total = 0;
  for (const auto& count : pairs.items.at(1).items) total += count.AsUnsigned();
  uint64_t below = 0;
  for (size_t i = 0; i < pairs.items[0].items.size(); ++i) {
    below += pairs.items[1].items.at(i).AsUnsigned();
    if (below * 2 >= total) return pairs.items[0].items[i].AsSigned();
  }
  return 0;
}

}  // namespace

std::string CreateCoverage(std::string_view settings) {
  return fmt::format(
      "CREATE TABLE IF NOT EXISTS yagura.coverage (\n"
      "tenant LowCardinality(String),\n"
      "source LowCardinality(String),\n"
      "hour DateTime('UTC') CODEC(Delta, ZSTD(1)),\n"
      "instance LowCardinality(String),\n"
      "sequence UInt64 CODEC(ZSTD(1)),\n"
      "site LowCardinality(String),\n"
      "device LowCardinality(String),\n"
      "lines UInt64 CODEC(ZSTD(1)),\n"
      "bytes UInt64 CODEC(ZSTD(1)),\n"
      "unparsed UInt64 CODEC(ZSTD(1)),\n"
      "partly_parsed UInt64 CODEC(ZSTD(1)),\n"
      "clock_errors UInt64 CODEC(ZSTD(1)),\n"
      "untimed UInt64 CODEC(ZSTD(1)),\n"
      "lost UInt64 CODEC(ZSTD(1)),\n"
      "kernel_drops UInt64 CODEC(ZSTD(1)),\n"
      "minutes UInt64 CODEC(ZSTD(1)),\n"
      "watched UInt64 CODEC(ZSTD(1)),\n"
      "first_receive_time DateTime64(9, 'UTC') CODEC(ZSTD(1)),\n"
      "last_receive_time DateTime64(9, 'UTC') CODEC(ZSTD(1)),\n"
      "offsets Array(Int64) CODEC(ZSTD(1)),\n"
      "offset_counts Array(UInt64) CODEC(ZSTD(1))\n"
      ") ENGINE = ReplacingMergeTree(sequence) PARTITION BY toYYYYMM(hour) "
      "ORDER BY (tenant, source, hour, instance) TTL hour + toIntervalDay({}) SETTINGS {}",
      kRetentionDays, settings);
}

size_t EncodeCoverage(const CoverageReport& report, eventstore::RowBinaryWriter* out) {
  size_t rows = 0;
  for (const auto& hour : report.hours()) {
    const auto name = ParseSource(hour.source());
    if (!name || hour.hour() < 0 || hour.hour() > kMaxHour) continue;
    out->Text(name->tenant);
    out->Text(name->source);
    out->Unsigned32(static_cast<uint32_t>(hour.hour() * kHour));
    out->Text(InstanceOf(report, *name));
    out->Unsigned64(report.sequence());
    out->Text(name->site.empty() ? std::string_view(hour.site()) : name->site);
    out->Text(hour.device());
    for (const uint64_t number : {hour.lines(), hour.bytes(), hour.unparsed(), hour.partly_parsed(),
                                  hour.clock_errors(), hour.untimed(), hour.lost(),
                                  hour.kernel_drops(), hour.minutes(), hour.watched_minutes()}) {
      out->Unsigned64(number);
    }
    out->Time(TimeOf(hour.first_receive_time()));
    out->Time(TimeOf(hour.last_receive_time()));
    const int offsets =
        std::min({hour.offset_seconds_size(), hour.offset_counts_size(), kMaxOffsets});
    out->Count(static_cast<size_t>(offsets));
    for (int i = 0; i < offsets; ++i) out->Signed64(hour.offset_seconds(i));
    out->Count(static_cast<size_t>(offsets));
    for (int i = 0; i < offsets; ++i) out->Unsigned64(hour.offset_counts(i));
    ++rows;
  }
  return rows;
}

TimeWindow WholeHours(const TimeWindow& window) {
  return {std::chrono::floor<std::chrono::hours>(window.start),
          std::chrono::ceil<std::chrono::hours>(window.end)};
}

namespace {

// Where a period of an hour `at` begins and ends, in seconds since 1970.
struct PeriodSql {
  std::string start;
  std::string end;
};

PeriodSql PeriodOf(coverage::v1::Period period) {
  const int64_t width = period == coverage::v1::HOUR  ? kHour
                        : period == coverage::v1::DAY ? kDay
                                                      : 0;
  if (width == 0) return {"{from:Int64}", "{to:Int64}"};
  return {fmt::format("greatest({{from:Int64}}, intDiv(at, {0}) * {0})", width),
          fmt::format("least({{to:Int64}}, intDiv(start, {0}) * {0} + {0})", width)};
}

constexpr std::string_view kInWindow =
    "hour >= toDateTime({from:Int64}, 'UTC') AND hour < toDateTime({to:Int64}, 'UTC')";

// All hours of the window: in which minutes somebody listened to whatever source, and how many such
// minutes there are from the window's start to before the hour, through the hour, to before its
// period and through that. What ingestion tells of itself has it, else the tenants' own sources.
std::string ListeningSql(const std::string& tenants, const PeriodSql& period) {
  return fmt::format(
      "SELECT at, mask, through, through - bitCount(mask) AS before, "
      "min(before) OVER (PARTITION BY start) AS period_before, "
      "max(through) OVER (PARTITION BY start) AS period_through FROM ("
      "SELECT at, mask, {} AS start, toInt64(sum(bitCount(mask)) OVER (ORDER BY at)) AS through "
      "FROM (SELECT toInt64(toUnixTimestamp(hour)) AS at, groupBitOr(watched) AS mask "
      "FROM yagura.coverage WHERE (tenant = '' OR {}) AND {} GROUP BY at "
      "ORDER BY at WITH FILL FROM {{from:Int64}} TO {{to:Int64}} STEP {}))",
      period.start, tenants, kInWindow, kHour);
}

// What was told of sources on the last day before the window that ingestion told of: they were
// there before.
std::string ToldBeforeSql(const std::string& tenants) {
  return fmt::format(
      "{} AND hour < toDateTime({{from:Int64}}, 'UTC') AND hour >= (SELECT "
      "if(count() = 0, toDateTime({{from:Int64}}, 'UTC'), max(hour)) - {} FROM yagura.coverage "
      "WHERE tenant = '' AND hour < toDateTime({{from:Int64}}, 'UTC'))",
      tenants, kDay);
}

// A source's name in the conditions of coverage: lines without one are told of by site.
constexpr std::string_view kNameSql =
    "toString(tenant), toString(source), if(source = '', toString(site), '')";

// Sources that were there before a window in which nobody listened to any, and of which nothing was
// told in it: in the columns of an answer, and its `place`.
std::string UnwatchedSql(const std::string& tenants) {
  return fmt::format(
      "SELECT t AS tenant, s AS source, h_site AS site, h_device AS device, {{from:Int64}} AS "
      "start, least({{to:Int64}}, {{now:Int64}}) AS end, toUInt64(0) AS line_count, "
      "toUInt64(0) AS byte_count, toUInt64(0) AS lost_count, toUInt64(0) AS kernel_drop_count, "
      "toUInt64(0) AS unparsed_count, toUInt64(0) AS partly_parsed_count, "
      "toUInt64(0) AS clock_error_count, toUInt64(0) AS untimed_count, "
      "toUInt64(0) AS hours_with_lines, toUInt64(0) AS silent_minutes, "
      "toUInt64(greatest(0, intDiv(if({{now:Int64}} - listened_last <= {}, "
      "least(end, listened_last), end) - start, 60))) AS unwatched_minutes, "
      "toDateTime64(0, 9, 'UTC') AS first_receive_time, "
      "toDateTime64(0, 9, 'UTC') AS last_receive_time, "
      "CAST(([], []), 'Tuple(Array(Int64), Array(UInt64))') AS offset_sums, "
      "toUInt64(0) AS silent_hours, place FROM ("
      "SELECT toString(tenant) AS t, toString(source) AS s, if(s = '', toString(site), '') AS "
      "place, argMax(site, (hour, sequence)) AS h_site, argMax(device, (hour, sequence)) AS "
      "h_device FROM yagura.coverage WHERE {} AND tenant != '' AND ({}) NOT IN ("
      "SELECT {} FROM yagura.coverage WHERE {} AND {}) GROUP BY t, s, place "
      // A source has its hours also where it sends nothing; the last may not have been told of.
      "HAVING s = '' OR max(hour) + {} >= (SELECT max(hour) FROM yagura.coverage WHERE "
      "tenant = '' AND hour < toDateTime({{from:Int64}}, 'UTC'))) WHERE unwatched_minutes > 0 AND "
      "(SELECT count() FROM yagura.coverage WHERE "
      "(tenant = '' OR {}) AND {} AND watched != 0) = 0",
      kLongestReport.count(), ToldBeforeSql(tenants), kNameSql, kNameSql, tenants, kInWindow, kHour,
      tenants, kInWindow);
}

// Of each source and hour what all starts of processes told, added up: a minute counts once.
// `place`: lines without a source are told of by site.
std::string HoursSql(const std::string& tenants) {
  return fmt::format(
      "SELECT toString(tenant) AS t, toString(source) AS s, if(s = '', toString(site), '') AS "
      "place, "
      "toInt64(toUnixTimestamp(hour)) AS at, argMax(site, sequence) AS h_site, "
      "argMax(device, sequence) AS h_device, sum(lines) AS h_lines, sum(bytes) AS h_bytes, "
      "sum(unparsed) AS h_unparsed, sum(partly_parsed) AS h_partly, "
      "sum(clock_errors) AS h_clock_errors, sum(untimed) AS h_untimed, sum(lost) AS h_lost, "
      "sum(kernel_drops) AS h_drops, groupBitOr(minutes) AS heard, "
      "groupBitOr(bitOr(minutes, watched)) AS own, "
      "minIf(first_receive_time, lines > 0) AS h_first, max(last_receive_time) AS h_last, "
      "sumMap(offsets, offset_counts) AS behind "
      "FROM (SELECT * FROM yagura.coverage FINAL WHERE tenant != '' AND {} AND {}) "
      "GROUP BY t, s, place, at",
      tenants, kInWindow);
}

// The same by period, with what says from when to when the source was there.
std::string PeriodsSql(const std::string& tenants, const PeriodSql& period) {
  return fmt::format(
      "SELECT t AS tenant, s AS source, place, argMax(h_site, at) AS site, "
      "argMax(h_device, at) AS device, {} AS start, least({}, {{now:Int64}}) AS end, "
      "sum(h_lines) AS line_count, sum(h_bytes) AS byte_count, sum(h_lost) AS lost_count, "
      "sum(h_drops) AS kernel_drop_count, sum(h_unparsed) AS unparsed_count, "
      "sum(h_partly) AS partly_parsed_count, sum(h_clock_errors) AS clock_error_count, "
      "sum(h_untimed) AS untimed_count, countIf(h_lines > 0) AS hours_with_lines, "
      "toUInt64(sum(bitCount(bitAnd(bitOr(own, mask), bitNot(heard))))) AS silent_minutes, "
      "countIf(h_lines = 0 AND bitOr(own, mask) != 0 AND at + 3600 <= {{now:Int64}}) "
      "AS silent_hours, "
      "minIf(h_first, h_lines > 0) AS first_receive_time, max(h_last) AS last_receive_time, "
      "sumMap(behind.1, behind.2) AS offset_sums, "
      "min(at) AS first, max(at) + 3600 AS last, min(before) AS first_before, "
      "max(through) AS last_through, any(period_before) AS start_before, "
      "any(period_through) AS end_through, "
      "toInt64(sum(bitCount(bitAnd(own, bitNot(mask))))) AS heard_alone, "
      "argMin(own, at) AS first_own, argMin(mask, at) AS first_mask, "
      // The minutes of the first hour before the first that was listened to.
      "if(first_own = 0, 0, bitAnd(bitNot(first_own), first_own - 1)) AS early, "
      "lagInFrame(last_through, 1, -1) OVER (PARTITION BY tenant, source, place ORDER BY start "
      "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS earlier "
      "FROM ({}) AS hours INNER JOIN ({}) AS listening USING (at) "
      "GROUP BY tenant, source, place, start",
      period.start, period.end, HoursSql(tenants), ListeningSql(tenants, period));
}

// When somebody listened last within the latest hours, in seconds since 1970: a minute's end; 0
// where nobody did.
std::string LastListenedSql(const std::string& tenants) {
  return fmt::format(
      "SELECT max(at + 60 * (1 + arrayMax(bitPositionsToArray(mask)))) FROM ("
      "SELECT toInt64(toUnixTimestamp(hour)) AS at, groupBitOr(watched) AS mask "
      "FROM yagura.coverage WHERE (tenant = '' OR {}) AND watched != 0 AND "
      "hour >= toDateTime({{now:Int64}} - {}, 'UTC') GROUP BY at)",
      tenants, 2 * kHour);
}

}  // namespace

StatusOr<Query> CoverageQuery(const CoverageQuestion& question) {
  Query query;
  const std::string tenants = TenantSql(question.tenants, &query);
  query.parameters["from"] = std::to_string(SecondsOf(question.window.start));
  query.parameters["to"] = std::to_string(SecondsOf(question.window.end));
  query.parameters["now"] = std::to_string(SecondsOf(question.now));
  std::string where = "1";
  if (!question.filter.empty()) {
    YAGURA_ASSIGN_OR_RETURN(filter::Sql sql, question.filter.ToSql(CoverageColumnMap()));
    where = sql.where;
    query.parameters.merge(sql.parameters);
  }
  if (question.after != nullptr) {
    query.parameters["after_tenant"] = question.after->tenant;
    query.parameters["after_source"] = question.after->source;
    query.parameters["after_start"] = std::to_string(question.after->start);
    query.parameters["after_place"] = question.after->place;
    where +=
        " AND (tenant, source, start, place) > ({after_tenant:String}, {after_source:String}, "
        "{after_start:Int64}, {after_place:String})";
  }
  const PeriodSql period = PeriodOf(question.period);
  constexpr std::string_view kColumns =
      "tenant, source, site, device, start, end, line_count, byte_count, lost_count, "
      "kernel_drop_count, unparsed_count, partly_parsed_count, clock_error_count, untimed_count, "
      "hours_with_lines, silent_minutes, unwatched_minutes, first_receive_time, last_receive_time, "
      "offset_sums, silent_hours";
  query.sql = fmt::format(
      "WITH ({}) AS listened_last SELECT {} FROM (SELECT {}, place FROM (SELECT *, "
      // How far listening had come when the source was there last before the period; -1: never.
      "if(earlier = -1 AND (tenant, source, place) IN (SELECT {} FROM yagura.coverage WHERE {}), "
      "0, earlier) AS seen_before, "
      "seen_before != -1 AND start_before - seen_before < {} AS goes_on, "
      "if(goes_on, start, first + 60 * bitCount(early)) AS watch_start, "
      // Somebody listened later, when the source was not there any more.
      "if(end_through > last_through, least(end, last), if({{now:Int64}} - listened_last <= {}, "
      "least(end, listened_last), end)) AS watch_end, "
      "last_through + heard_alone - if(goes_on, start_before, first_before + "
      "bitCount(bitAnd(first_mask, early))) AS listened_minutes, "
      "toUInt64(greatest(0, intDiv(watch_end - watch_start, 60) - listened_minutes)) "
      "AS unwatched_minutes FROM ({})) UNION ALL {}) WHERE {} "
      "ORDER BY tenant, source, start, place LIMIT {}",
      LastListenedSql(tenants), kColumns, kColumns, kNameSql, ToldBeforeSql(tenants), kDay / 60,
      kLongestReport.count(), PeriodsSql(tenants, period), UnwatchedSql(tenants), where,
      question.limit);
  return query;
}

coverage::v1::Coverage DecodeCoverage(const Row& row) {
  coverage::v1::Coverage coverage;
  coverage.set_tenant(row.at(0).AsText());
  coverage.set_source(row.at(1).AsText());
  coverage.set_site(row.at(2).AsText());
  coverage.set_device(row.at(3).AsText());
  coverage.mutable_start_time()->set_seconds(row.at(4).AsSigned());
  coverage.mutable_end_time()->set_seconds(row.at(5).AsSigned());
  coverage.set_line_count(row.at(6).AsUnsigned());
  coverage.set_byte_count(row.at(7).AsUnsigned());
  coverage.set_lost_count(row.at(8).AsUnsigned());
  coverage.set_kernel_drop_count(row.at(9).AsUnsigned());
  coverage.set_unparsed_count(row.at(10).AsUnsigned());
  coverage.set_partly_parsed_count(row.at(11).AsUnsigned());
  coverage.set_clock_error_count(row.at(12).AsUnsigned());
  coverage.set_untimed_count(row.at(13).AsUnsigned());
  coverage.set_hours_with_lines(static_cast<uint32_t>(row.at(14).AsUnsigned()));
  coverage.set_silent_minutes(static_cast<uint32_t>(row.at(15).AsUnsigned()));
  coverage.set_unwatched_minutes(static_cast<uint32_t>(row.at(16).AsUnsigned()));
  if (coverage.line_count() > 0) {
    *coverage.mutable_first_receive_time() = ToProto(row.at(17).AsTime());
    *coverage.mutable_last_receive_time() = ToProto(row.at(18).AsTime());
  }
  coverage.set_silent_hours(static_cast<uint32_t>(row.at(20).AsUnsigned()));
  const eventstore::Value& offsets = row.at(19);
  if (offsets.items.size() == 2 && !offsets.items[0].items.empty()) {
    *coverage.mutable_clock_offset() = ToProtoDuration(seconds(WeightedMedian(offsets)));
  }
  return coverage;
}

v1::CoveredSource CoveredSourceOf(const coverage::v1::Coverage& coverage) {
  v1::CoveredSource source;
  source.set_tenant(coverage.tenant());
  source.set_source(coverage.source());
  source.set_site(coverage.site());
  source.set_device(coverage.device());
  source.set_line_count(coverage.line_count());
  source.set_lost_count(coverage.lost_count());
  source.set_kernel_drop_count(coverage.kernel_drop_count());
  source.set_clock_error_count(coverage.clock_error_count());
  source.set_hours_with_lines(coverage.hours_with_lines());
  source.set_silent_hours(coverage.silent_hours());
  source.set_unwatched_minutes(coverage.unwatched_minutes());
  if (coverage.has_clock_offset()) *source.mutable_clock_offset() = coverage.clock_offset();
  return source;
}

StatusOr<Query> CoverageSummaryQuery(CoverageQuestion question) {
  constexpr size_t kMostSources = 1'000'000;
  question.period = coverage::v1::RANGE;
  question.limit = kMostSources;
  YAGURA_ASSIGN_OR_RETURN(Query query, CoverageQuery(question));
  query.sql = fmt::format(
      "SELECT count(), sum(line_count), sum(lost_count), sum(kernel_drop_count), "
      "sum(clock_error_count), sum(unparsed_count), countIf(silent_hours > 0), "
      "countIf(unwatched_minutes > 0), max(unwatched_minutes) FROM ({})",
      query.sql);
  return query;
}

v1::CoverageSummary DecodeCoverageSummary(const Row& row) {
  v1::CoverageSummary summary;
  size_t i = 0;
  summary.set_source_count(static_cast<uint32_t>(row.at(i++).AsUnsigned()));
  summary.set_line_count(row.at(i++).AsUnsigned());
  summary.set_lost_count(row.at(i++).AsUnsigned());
  summary.set_kernel_drop_count(row.at(i++).AsUnsigned());
  summary.set_clock_error_count(row.at(i++).AsUnsigned());
  summary.set_unparsed_count(row.at(i++).AsUnsigned());
  summary.set_silent_source_count(static_cast<uint32_t>(row.at(i++).AsUnsigned()));
  summary.set_unwatched_source_count(static_cast<uint32_t>(row.at(i++).AsUnsigned()));
  summary.set_most_unwatched_minutes(static_cast<uint32_t>(row.at(i).AsUnsigned()));
  const auto gap = [&summary](uint64_t count, std::string text) {
    if (count > 0) summary.add_gaps(std::move(text));
  };
  gap(summary.lost_count(), fmt::format("{} lines were lost after receipt", summary.lost_count()));
  gap(summary.kernel_drop_count(),
      fmt::format("the kernel dropped about {} datagrams", summary.kernel_drop_count()));
  gap(summary.unwatched_source_count(),
      fmt::format("nobody listened to {} of {} sources for up to {} minutes",
                  summary.unwatched_source_count(), summary.source_count(),
                  summary.most_unwatched_minutes()));
  gap(summary.silent_source_count(),
      fmt::format("{} of {} sources sent nothing for a whole hour or more",
                  summary.silent_source_count(), summary.source_count()));
  gap(summary.clock_error_count(),
      fmt::format("{} lines have a wrong clock", summary.clock_error_count()));
  return summary;
}

}  // namespace yagura::archive
