#include "services/archive/settings.h"

#include <algorithm>

#include "common/config/settings_reader.h"
#include "common/status/status.h"

namespace yagura::archive {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

bool IsAddress(std::string_view address) {
  // Nobody's password belongs into an address.
  if (address.find_first_of("@?# ") != std::string_view::npos) return false;
  for (const std::string_view scheme : {"http://", "https://", "unix:/"}) {
    if (address.starts_with(scheme) && address.size() > scheme.size()) return true;
  }
  return false;
}

bool IsClusterName(std::string_view name) {
  constexpr size_t kMax = 64;
  return name.size() <= kMax && std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '_' || c == '-';
         });
}

void ReadServers(config::SettingsReader& reader, eventstore::ClientOptions* store) {
  store->addresses = reader.Strings(
      "addresses", {"http://127.0.0.1:8123"},
      "ClickHouse servers, \"http://host:8123\" or \"https://host:8443\", or the socket of "
      "yagura-store as \"unix:/path\"; the first that is not away is asked.");
  if (store->addresses.empty()) reader.Refuse("addresses", "at least one is needed");
  for (const std::string& address : store->addresses) {
    if (!IsAddress(address)) {
      reader.Refuse("addresses",
                    "each is http://HOST:PORT, https://HOST:PORT or unix:/PATH, without a user");
    }
  }
  store->user = reader.String("user", "", "User at the store; empty: its default user.");
  const std::string user = reader.Secret("user", "User at the store, where it is a secret.");
  if (!user.empty()) store->user = user;
  store->password = reader.Secret("password", "Password at the store.");
  store->ca_file = reader.String("ca_file", "", "PEM of trusted authorities; empty: the system's.");
  store->certificate_file =
      reader.String("certificate_file", "", "PEM of our certificate; empty: none is shown.");
  store->key_file =
      reader.String("key_file", "", "PEM of its key; empty: it is in certificate_file.");
  if (store->certificate_file.empty() && !store->key_file.empty()) {
    reader.Refuse("key_file", "certificate_file is empty");
  }
}

void ReadCluster(config::SettingsReader& reader, Settings* settings) {
  settings->cluster = reader.String(
      "cluster", "",
      "Name under which the servers, replicas of each other, know their tables in Keeper; never "
      "changed later. Empty: one server with tables of its own.");
  const size_t servers = settings->store.addresses.size();
  settings->insert_quorum = static_cast<int>(
      reader.Integer("insert_quorum", 0, 0, 16,
                     "Replicas of a cluster that must have an insert before it counts as stored; "
                     "0: more than half of the addresses."));
  if (!IsClusterName(settings->cluster)) {
    reader.Refuse("cluster", "1 to 64 ASCII letters, digits, '_' and '-'");
  }
  if (settings->cluster.empty() && servers > 1) {
    reader.Refuse("addresses",
                  "several servers must be replicas of each other: name their cluster");
  }
  if (settings->insert_quorum > static_cast<int>(servers)) {
    reader.Refuse("insert_quorum", "there are fewer addresses");
  }
}

void ReadStore(config::SettingsReader reader, Settings* settings) {
  eventstore::ClientOptions* store = &settings->store;
  Tiering* tiering = &settings->tiering;
  ReadServers(reader, store);
  ReadCluster(reader, settings);
  store->connect_timeout =
      reader.Duration("connect_timeout", store->connect_timeout, milliseconds(50), minutes(1),
                      "How long a connection may take.");
  tiering->storage_policy =
      reader.String("storage_policy", tiering->storage_policy,
                    "Storage policy of the ClickHouse servers for events; empty: as it is.");
  tiering->cold_volume =
      reader.String("cold_volume", tiering->cold_volume, "Volume of that policy for older events.");
  tiering->cold_after_days =
      static_cast<int>(reader.Integer("cold_after_days", tiering->cold_after_days, 1, 3650,
                                      "Days after receipt from when on events lie there."));
  tiering->recompress = reader.Boolean(
      "recompress", tiering->recompress,
      "Whether the store compresses raw lines and other texts harder once their day is over; that "
      "takes about as much of its processor time as storing the day did.");
  settings->word_index = reader.Boolean(
      "word_index", settings->word_index,
      "Whether the store makes indexes by which bare words are found of each day once it is over; "
      "that takes about as much of its processor time as storing the day did.");
}

void ReadWriter(config::SettingsReader reader, Settings* settings) {
  WriterOptions& writer = settings->writer;
  settings->writer_threads = static_cast<int>(
      reader.Integer("threads", settings->writer_threads, 1, 64, "Threads that store events."));
  writer.lease = reader.Duration("lease", writer.lease, milliseconds(500), minutes(1),
                                 "How long a killed writer's shards wait for another.");
  writer.rows_per_insert = static_cast<size_t>(
      reader.Integer("rows_per_insert", static_cast<int64_t>(writer.rows_per_insert), 1, 1'000'000,
                     "An insert has at least so many events, unless max_delay is over first."));
  writer.max_delay = reader.Duration("max_delay", writer.max_delay, milliseconds(10), minutes(1),
                                     "How long events wait for an insert to be large.");
  writer.retry = reader.Duration("retry", writer.retry, milliseconds(10), minutes(1),
                                 "Pause between attempts while the store is down.");
  writer.spool_above_flow_bytes = reader.Bytes(
      "spool_above_flow", writer.spool_above_flow_bytes, 1 << 20, 1ull << 42,
      "While the store is down and the flow Redis uses more than this, events go to the spool.");
}

void ReadAudit(config::SettingsReader reader, Settings* settings) {
  SealOptions* audit = &settings->audit;
  audit->interval = reader.Duration("interval", audit->interval, milliseconds(10), hours(24),
                                    "How long a record of who did what waits to be sealed.");
  audit->records_per_seal = static_cast<size_t>(
      reader.Integer("records_per_seal", static_cast<int64_t>(audit->records_per_seal), 1, 50'000,
                     "Sealed at once where so many wait; no seal has more."));
  audit->lease = reader.Duration("lease", audit->lease, milliseconds(500), minutes(10),
                                 "How long a killed sealer's tenant waits for another.");
  audit->keep_age = reader.Duration(
      "keep_age", audit->keep_age, milliseconds(0), hours(24 * 365),
      "How long sealed records stay in the change feeds too, for those who follow these.");
  audit->keep_records = static_cast<uint64_t>(
      reader.Integer("keep_records", static_cast<int64_t>(audit->keep_records), 0, 100'000'000,
                     "Of a tenant's newest records not more stay there once they are sealed."));
  audit->retention_days = static_cast<int>(
      reader.Integer("retention_days", audit->retention_days, 1, 36'500,
                     "How long sealed records are kept in the event store; lowered, "
                     "it never ends before that of records sealed earlier."));
  settings->trusted_audit_keys = reader.Strings(
      "trusted_keys", {},
      "Public keys of other sealers, in hex or base64, whose signatures count when records are "
      "verified: of other replicas, and of data folders that were lost. This process's own does.");
}

void ReadQueries(config::SettingsReader& reader, QueryLimits* query) {
  query->timeout = reader.Duration("query_timeout", query->timeout, milliseconds(100), hours(1),
                                   "Longest query, whatever the caller's deadline.");
  query->threads = static_cast<int>(reader.Integer("query_threads", query->threads, 0, 256,
                                                   "Threads of one query; 0: the store's own."));
  auto limits = reader.Section("query_limits", "What one query may cost the event store.");
  query->rows = static_cast<uint64_t>(limits.Integer("rows", static_cast<int64_t>(query->rows), 0,
                                                     1'000'000'000'000'000,
                                                     "Most rows that it reads; 0: no limit."));
  query->bytes = limits.Bytes("bytes", query->bytes, 0, 1ull << 50,
                              "Most bytes that it reads, uncompressed; 0: no limit.");
  query->memory = limits.Bytes("memory", query->memory, 0, 1ull << 45,
                               "Most memory that it uses there; 0: the store's own limit.");
}

}  // namespace

absl::StatusOr<Settings> ReadSettings(config::SettingsReader& reader) {
  Settings settings;
  ReadStore(reader.Section("store", "The event store."), &settings);
  YAGURA_RETURN_IF_ERROR(ValidateTiering(settings.tiering));
  auto events = reader.Section("events", "The stream topic \"events\".");
  settings.events.shards = static_cast<int>(events.Integer(
      "shards", settings.events.shards, 1, 256,
      "Shards; the same for everybody who writes or reads the topic, and never changed later."));
  settings.events.readers =
      events.Strings("readers", settings.events.readers,
                     "Readers whose progress keeps entries from being trimmed.");
  settings.coverage = stream::ReadCoverageTopic(reader, settings.coverage);
  ReadWriter(reader.Section("writer", "How events are stored."), &settings);
  ReadAudit(reader.Section("audit", "How records of who did what are sealed."), &settings);
  settings.spool_folder = reader.String("spool_folder", settings.spool_folder,
                                        "Folder of the spool; empty: in the data folder.");
  settings.spool_quota_bytes =
      reader.Bytes("spool_quota", settings.spool_quota_bytes, 1 << 20, 1ull << 50,
                   "Most bytes of the spool; beyond it ingestion pushes back.");
  settings.default_retention_days = static_cast<int>(
      reader.Integer("default_retention_days", settings.default_retention_days, 1, 3650,
                     "How long events are kept of tenants that the directory has not told of."));
  settings.retention_refresh =
      reader.Duration("retention_refresh", settings.retention_refresh, seconds(1), hours(24),
                      "How often the directory is asked for retention.");
  ReadQueries(reader, &settings.query);
  return settings;
}

}  // namespace yagura::archive
