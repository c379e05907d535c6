#include "services/archive/storage/migrations.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "fmt/format.h"

#include "common/eventstore/client.h"
#include "common/status/status.h"
#include "services/archive/domain/audit_table.h"
#include "services/archive/domain/coverage_table.h"
#include "services/archive/domain/event_proof.h"
#include "services/archive/domain/event_table.h"
#include "services/archive/domain/flow_table.h"
#include "services/archive/domain/measures_table.h"

namespace yagura::archive {
namespace {

// Without a window a repeated token would store its rows again.
constexpr std::string_view kDurable =
    "non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1";

// A part of an insert has its columns in one file below this: two files for each of 60 columns, all
// made durable one by one, cost more than the compression. Merged parts soon have files again.
constexpr uint64_t kWidePartBytes = 128ull << 20;

struct Migration {
  unsigned version;
  // The oldest version whose release can still read, and write to, what this one leaves: it ignores
  // what is new, and misses nothing that it knew.
  unsigned oldest_reader;
  std::string_view description;
  // Each may run again after a crash in between.
  std::vector<std::string> statements;
};

std::string EventsTable(const EventTable& table) {
  std::string columns;
  for (const EventColumn& column : table.columns()) {
    columns += fmt::format("`{}` {} CODEC({}),\n", column.name, column.type_name, column.codec);
  }
  // Partitions by the day of receipt: event times are hostile, and an insert across more than a
  // hundred partitions fails whole.
  return fmt::format(
      "CREATE TABLE IF NOT EXISTS yagura.events (\n{}"
      "expires DateTime('UTC') CODEC(Delta, ZSTD(1)),\n"
      "INDEX event_time_range event_time TYPE minmax GRANULARITY 1,\n"
      "INDEX src_ip_bloom src_ip TYPE bloom_filter(0.01) GRANULARITY 4,\n"
      "INDEX dst_ip_bloom dst_ip TYPE bloom_filter(0.01) GRANULARITY 4\n"
      ") ENGINE = MergeTree PARTITION BY toYYYYMMDD(receive_time) "
      "ORDER BY (tenant, receive_time, id) TTL expires "
      "SETTINGS {}, map_serialization_version = 'with_buckets', map_buckets_min_avg_size = 8",
      columns, kDurable);
}

// The types are those of now. What is there is rewritten in the background, part by part; until
// then its fields are converted as they are read. Their layout is empty: the map has all of them.
std::vector<std::string> FieldsAndLayout(const EventTable& table) {
  std::vector<std::string> statements;
  for (const EventColumn& column : table.columns()) {
    if (column.name != "fields" && column.name != "layout") continue;
    statements.push_back(fmt::format(
        "ALTER TABLE yagura.events {} `{}` {} CODEC({}) SETTINGS mutations_sync = 0, alter_sync = "
        "0",
        column.name == "fields" ? "MODIFY COLUMN" : "ADD COLUMN IF NOT EXISTS", column.name,
        column.type_name, column.codec));
  }
  statements.emplace_back(
      "ALTER TABLE yagura.events MODIFY SETTING map_serialization_version = 'basic'");
  return statements;
}

std::string AddColumn(const EventTable& table, std::string_view name) {
  const auto column =
      std::find_if(table.columns().begin(), table.columns().end(),
                   [name](const EventColumn& candidate) { return candidate.name == name; });
  return fmt::format("ALTER TABLE yagura.events ADD COLUMN IF NOT EXISTS `{}` {} CODEC({})", name,
                     column->type_name, column->codec);
}

std::vector<Migration> Migrations(const EventTable& table) {
  return {
      {1, 1, "the table of events", {EventsTable(table)}},
      {2,
       1,
       "the tables of sealed audit records",
       {CreateAuditRecords(kDurable), CreateAuditHeads(kDurable)}},
      {3,
       1,
       "inserts as one file a part, and a table to try inserts on",
       {fmt::format("ALTER TABLE yagura.events MODIFY SETTING min_bytes_for_wide_part = {}",
                    kWidePartBytes),
        fmt::format("CREATE TABLE IF NOT EXISTS yagura.probes (at DateTime64(9, 'UTC')) "
                    "ENGINE = MergeTree ORDER BY at TTL toDateTime(at) + toIntervalDay(1) "
                    "SETTINGS {}",
                    kDurable)}},
      {4, 1, "the table of coverage", {CreateCoverage(kDurable)}},
      // What lies in a core column alone a reader of 4 would not give back.
      {5, 5, "original fields that are core columns lie there alone, all others in dictionaries",
       FieldsAndLayout(table)},
      {6, 5, "folded text for bare words", {AddColumn(table, "folded")}},
      {7, 5, "who talked to whom, by day", {CreateFlows(kDurable), CreateFlowsView()}},
      {8, 5, "bytes of sessions that last count once in flows", {AlterFlowsView()}},
      // What a release before stores lacks digests, and verification says so.
      {9,
       5,
       "digests of what is stored, and their signed chains",
       {AddColumn(table, "unit"), CreateUnits(kDurable), CreateUnitHeads(kDurable)}},
      // A release before goes on to seal, by scheme 1, and to verify; heads of scheme 2 it tells of
      // as altered.
      {10, 5, "signed expiry of digests, and heads that go by day", AlterUnitHeads()},
      {11,
       5,
       "what the events of an hour of a device come to",
       {CreateMeasures(kDurable), CreateMeasuresView()}}};
}

struct Found {
  unsigned version = 0;
  unsigned oldest_reader = 0;  // 0: not told
};

StatusOr<Found> FindVersion(eventstore::Client& client) {
  YAGURA_ASSIGN_OR_RETURN(
      const auto result,
      client.Select(
          {.sql = "SELECT toUInt64(max(version)), toUInt64(argMax(oldest_reader, version)) FROM "
                  "yagura.schema_version"}));
  const auto& row = result.rows.at(0);
  return Found{static_cast<unsigned>(row.at(0).AsUnsigned()),
               static_cast<unsigned>(row.at(1).AsUnsigned())};
}

Status Apply(eventstore::Client& client, const Migration& migration) {
  for (const std::string& statement : migration.statements) {
    YAGURA_RETURN_IF_ERROR(client.Execute({.sql = statement}));
  }
  eventstore::Query record;
  record.sql =
      "INSERT INTO yagura.schema_version (version, description, oldest_reader) "
      "SELECT {version:UInt32}, {description:String}, {oldest:UInt32}";
  record.parameters = {{"version", std::to_string(migration.version)},
                       {"oldest", std::to_string(migration.oldest_reader)},
                       {"description", std::string(migration.description)}};
  return client.Execute(record);
}

}  // namespace

Status Migrate(eventstore::Client& client, const EventTable& table, const Logger& logger) {
  YAGURA_RETURN_IF_ERROR(client.Execute({.sql = "CREATE DATABASE IF NOT EXISTS yagura"}));
  YAGURA_RETURN_IF_ERROR(client.Execute(
      {.sql = fmt::format("CREATE TABLE IF NOT EXISTS yagura.schema_version (version UInt32, "
                          "description String, applied DateTime64(3, 'UTC') DEFAULT now64(3)) "
                          "ENGINE = MergeTree ORDER BY version SETTINGS {}",
                          kDurable)}));
  // Releases before schema 8 did not write it.
  YAGURA_RETURN_IF_ERROR(client.Execute(
      {.sql = "ALTER TABLE yagura.schema_version ADD COLUMN IF NOT EXISTS oldest_reader UInt32"}));
  YAGURA_ASSIGN_OR_RETURN(const Found found, FindVersion(client));
  const unsigned current = found.version;
  // Where it is not told, the release before can read it.
  const unsigned oldest = found.oldest_reader > 0 ? found.oldest_reader : std::max(current, 1U) - 1;
  if (current > kSchemaVersion && oldest > kSchemaVersion) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "SCHEMA_TOO_NEW",
                     fmt::format("the event store has schema {}, which releases from schema {} on "
                                 "can read; this one knows {}",
                                 current, oldest, kSchemaVersion));
  }
  for (const Migration& migration : Migrations(table)) {
    if (migration.version <= current) continue;
    if (const Status status = Apply(client, migration); !status.ok()) {
      return Annotate(status, fmt::format("migration to schema {}", migration.version));
    }
    logger.Info("event store migrated",
                {{"version", migration.version}, {"what", migration.description}});
  }
  return absl::OkStatus();
}

}  // namespace yagura::archive
