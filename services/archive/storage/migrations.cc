#include "services/archive/storage/migrations.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>
#include <vector>

#include "fmt/format.h"

#include "common/eventstore/client.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/archive/domain/audit_table.h"
#include "services/archive/domain/coverage_table.h"
#include "services/archive/domain/event_proof.h"
#include "services/archive/domain/event_table.h"
#include "services/archive/domain/flow_table.h"
#include "services/archive/domain/measures_table.h"
#include "services/archive/domain/word_index.h"

namespace yagura::archive {
namespace {

// Without a window a repeated token would store its rows again.
constexpr std::string_view kDurable =
    "non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1";

// Keeper forgets tokens after an hour unless told otherwise; an outage may last longer.
constexpr std::string_view kDurableInCluster =
    "replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 2592000, "
    "fsync_after_insert = 1, fsync_part_directory = 1";
constexpr std::string_view kCreateTable = "CREATE TABLE IF NOT EXISTS yagura.";
constexpr std::string_view kEngine = ") ENGINE = ";
constexpr std::string_view kQuorumTimeout = "60000";

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

std::string EventsTable(const EventTable& table, const EventsPlace& place) {
  std::string columns;
  for (const EventColumn& column : table.columns()) {
    columns += fmt::format("`{}` {} CODEC({}),\n", column.name, column.type_name, column.codec);
  }
  // Partitions by the day of receipt: event times are hostile, and an insert across more than a
  // hundred partitions fails whole.
  return fmt::format(
      "CREATE TABLE IF NOT EXISTS yagura.events (\n{}"
      "expires DateTime('UTC') CODEC(Delta, ZSTD(1)),\n"
      "INDEX event_time_range event_time TYPE minmax GRANULARITY 1, {}) ENGINE = MergeTree "
      "PARTITION BY toYYYYMMDD(receive_time) "
      "ORDER BY (tenant, receive_time, id) TTL {} "
      "SETTINGS {}{}, map_serialization_version = 'with_buckets', map_buckets_min_avg_size = 8",
      columns, SkipIndexes("INDEX"), place.ttl, kDurable,
      place.storage_policy.empty() ? ""
                                   : fmt::format(", storage_policy = '{}'", place.storage_policy));
}

// What was there before has them once it is merged, or WordIndexer has them made. As one statement,
// so that on replicas nothing is in between.
std::vector<std::string> IndexWords() {
  return {
      // First, or merges would make those of words.
      fmt::format("ALTER TABLE yagura.events MODIFY SETTING "
                  "exclude_materialize_skip_indexes_on_merge = '{}'",
                  WordIndexNames()),
      fmt::format("ALTER TABLE yagura.events DROP INDEX IF EXISTS src_ip_bloom, DROP INDEX IF "
                  "EXISTS dst_ip_bloom, {} SETTINGS mutations_sync = 0",
                  SkipIndexes("ADD INDEX IF NOT EXISTS")),
  };
}

// What is there keeps its codecs until it is merged.
std::vector<std::string> Codecs(const EventTable& table) {
  std::vector<std::string> columns;
  for (const EventColumn& column : table.columns()) {
    columns.push_back(fmt::format("MODIFY COLUMN `{}` CODEC({})", column.name, column.codec));
  }
  return {
      // Of the store itself it would be LZ4. And a part after the other, not one in four hours.
      "ALTER TABLE yagura.events MODIFY SETTING default_compression_codec = 'ZSTD(1)', "
      "merge_with_recompression_ttl_timeout = 60",
      "ALTER TABLE yagura.events " + Join(columns, ", "),
  };
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

std::vector<Migration> Migrations(const EventTable& table, const EventsPlace& place = {}) {
  return {
      {1, 1, "the table of events", {EventsTable(table, place)}},
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
       {CreateMeasures(kDurable), CreateMeasuresView()}},
      // A release before goes on to store units of scheme 1, and neither seals nor proves others.
      {12, 5, "by which scheme events are digested", AlterUnits()},
      {13, 5, "addresses and words by indexes of each granule", IndexWords()},
      {14, 5, "codecs that fit the values, and texts that can be compressed again", Codecs(table)}};
}

bool Creates(std::string_view statement) { return statement.starts_with(kCreateTable); }

std::string_view TableName(std::string_view create) {
  create.remove_prefix(kCreateTable.size());
  return create.substr(0, create.find(' '));
}

// The statement with the engine's replicated kind. One place in Keeper a table, whatever the shard:
// all servers have the same rows.
std::string Replicated(std::string statement, std::string_view cluster) {
  if (!Creates(statement)) return statement;
  const std::string name(TableName(statement));
  const size_t engine = statement.find(kEngine) + kEngine.size();
  size_t end = engine;
  while (end < statement.size() && std::isalpha(static_cast<unsigned char>(statement[end])) != 0) {
    ++end;
  }
  std::string place = fmt::format("'/yagura/{}/{}', '{{replica}}'", cluster, name);
  if (end < statement.size() && statement[end] == '(') {  // it has arguments
    statement.insert(end + 1, place + ", ");
  } else {
    statement.insert(end, fmt::format("({})", place));
  }
  statement.insert(engine, "Replicated");
  if (const size_t at = statement.find(kDurable); at != std::string::npos) {
    statement.replace(at, kDurable.size(), kDurableInCluster);
  }
  return statement;
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

Status Record(eventstore::Client& client, const Migration& migration) {
  eventstore::Query record;
  record.sql =
      "INSERT INTO yagura.schema_version (version, description, oldest_reader) "
      "SELECT {version:UInt32}, {description:String}, {oldest:UInt32}";
  record.parameters = {{"version", std::to_string(migration.version)},
                       {"oldest", std::to_string(migration.oldest_reader)},
                       {"description", std::string(migration.description)}};
  return client.Execute(record);
}

Status Apply(eventstore::Client& client, const Migration& migration, const std::string& cluster) {
  for (const std::string& statement : migration.statements) {
    YAGURA_RETURN_IF_ERROR(
        client.Execute({.sql = cluster.empty() ? statement : Replicated(statement, cluster)}));
  }
  return Record(client, migration);
}

// A server of a cluster that has nothing yet: others may be further, so that only what CREATE makes
// now can be what they have. Statements that change a table say nothing more then, but settings,
// which each server has of its own.
Status CreateInCluster(eventstore::Client& client, const std::vector<Migration>& migrations,
                       const std::string& cluster) {
  for (const Migration& migration : migrations) {
    for (const std::string& statement : migration.statements) {
      const bool needed = Creates(statement) || statement.starts_with("CREATE ") ||
                          statement.find(" MODIFY SETTING ") != std::string::npos;
      if (!needed) continue;
      YAGURA_RETURN_IF_ERROR(client.Execute({.sql = Replicated(statement, cluster)}));
    }
  }
  return Record(client, migrations.back());
}

Status CheckKind(eventstore::Client& client, const std::string& cluster) {
  eventstore::Query query{.sql =
                              "SELECT count() FROM system.tables WHERE database = 'yagura' AND "
                              "name != 'schema_version' AND engine LIKE '%MergeTree' AND "
                              "startsWith(engine, 'Replicated') != {cluster:UInt8}",
                          .parameters = {{"cluster", cluster.empty() ? "0" : "1"}}};
  YAGURA_ASSIGN_OR_RETURN(const auto found, client.Select(query));
  if (found.rows.at(0).at(0).AsUnsigned() == 0) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "STORE_NOT_REPLICATED",
                   cluster.empty()
                       ? "the event store has replicated tables, but store.cluster is empty"
                       : "store.cluster is set, but the event store has tables that are not "
                         "replicated");
}

}  // namespace

void AddReplication(size_t quorum, eventstore::ClientOptions* options) {
  if (quorum > 1) {
    options->settings["insert_quorum"] = std::to_string(quorum);
    options->settings["insert_quorum_timeout"] = kQuorumTimeout;
  }
  for (const Migration& migration : Migrations(EventTable())) {
    for (const std::string& statement : migration.statements) {
      if (!Creates(statement)) continue;
      options->replicated_tables.push_back(fmt::format("yagura.{}", TableName(statement)));
    }
  }
}

Status Migrate(eventstore::Client& client, const EventTable& table, const Logger& logger,
               const std::string& cluster, const EventsPlace& place) {
  YAGURA_RETURN_IF_ERROR(client.Execute({.sql = "CREATE DATABASE IF NOT EXISTS yagura"}));
  YAGURA_RETURN_IF_ERROR(CheckKind(client, cluster));
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
  const std::vector<Migration> migrations = Migrations(table);
  if (!cluster.empty() && current == 0) {
    YAGURA_RETURN_IF_ERROR(Annotate(CreateInCluster(client, Migrations(table, place), cluster),
                                    "a new server of the cluster"));
    logger.Info("a server of the event store's cluster has its tables", {{"cluster", cluster}});
    return absl::OkStatus();
  }
  for (const Migration& migration : migrations) {
    if (migration.version <= current) continue;
    if (const Status status = Apply(client, migration, cluster); !status.ok()) {
      return Annotate(status, fmt::format("migration to schema {}", migration.version));
    }
    logger.Info("event store migrated",
                {{"version", migration.version}, {"what", migration.description}});
  }
  return absl::OkStatus();
}

}  // namespace yagura::archive
