#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/eventstore/value.h"

// A client of ClickHouse's HTTP interface: of a ClickHouse server, or of yagura-store.
namespace yagura::eventstore {

class Client;

// Settings of the store for one request, {"max_threads", "2"}.
using Settings = std::map<std::string, std::string>;

struct ClientOptions {
  // "http://host:8123", "https://host:8443" or "unix:/path/of/socket": one server each, no balancer
  // before several, all with the same data. The first that is not known to be away is asked. At
  // least one.
  std::vector<std::string> addresses;
  std::string user;      // empty: the server's default user
  std::string password;  // never logged, never part of an error
  std::string ca_file;   // PEM of who may sign the servers' certificates; empty: the system's
  // PEM of our own certificate, and of its key where that is not in the same file. Both are read
  // anew with each connection. Empty: none is shown.
  std::string certificate_file;
  std::string key_file;
  std::chrono::milliseconds connect_timeout{2'000};
  // For requests that name none. The server is told to give up by then too.
  std::chrono::milliseconds timeout{30'000};
  size_t max_idle_connections = 16;
  // How long a server that failed is left alone; twice as long each time it fails again.
  std::chrono::milliseconds first_pause{500};
  std::chrono::milliseconds longest_pause{30'000};
  // Where several may be asked: one of which nothing was heard for so long is asked whether it
  // lives, and its requests are given up where it does not answer within connect_timeout.
  std::chrono::milliseconds silence{3'000};
  // For every request that does not name them itself.
  Settings settings;
  // Replicated tables, "db.table": a query that names one waits until the server that answers has
  // all that others had when it was put: what is stored by then is found, and what a caller heard
  // is still to be stored before that is all that can be missing. A server that has not caught up
  // after five seconds counts as away; where the question has less time than that the next one is
  // asked, and this one stays in use.
  std::vector<std::string> replicated_tables;
  // Makes one server fit for use, through a client of it alone: before it is first used, and after
  // it has been away. An error leaves it unused for a while. Null: nothing is to be done.
  std::function<absl::Status(Client&)> prepare;
  // Hears of a server, by its number in `addresses`: OK once it is used, why once it is left alone,
  // and why where that is another reason than before. Called by whoever finds out, one at a time;
  // it must be quick and not use the client. Null: nobody hears.
  std::function<void(size_t server, const absl::Status& status)> on_change;
};

// The text of a query never holds values from outside: those are parameters, {name:Type} in the
// text and bound by the server.
struct Query {
  std::string sql;
  // Raw values of scalar types, escaped here.
  std::map<std::string, std::string> parameters;
  // Values of Array types, made by ArrayParameter.
  std::map<std::string, std::string> array_parameters;
  Settings settings;
  std::chrono::milliseconds timeout{0};  // 0: that of the client
  // What the store knows the query by while it runs (NewQueryTag), for ProgressOf. Empty: nobody
  // will ask.
  std::string tag;
};

// Unlike all others, and nobody can guess it.
std::string NewQueryTag();

// How far a query is.
struct QueryProgress {
  uint64_t rows = 0;
  uint64_t bytes = 0;       // uncompressed
  uint64_t total_rows = 0;  // the store's estimate of what it will read; 0: unknown
};

// "['a','b\'c']": the value of a parameter of type Array(String).
std::string ArrayParameter(const std::vector<std::string>& values);

struct InsertRequest {
  // "INSERT INTO db.table (a, b) FORMAT RowBinary".
  std::string sql;
  // {"insert_deduplication_token", "..."} and the like.
  Settings settings;
  std::chrono::milliseconds timeout{0};
};

struct Table {
  std::vector<ColumnInfo> columns;
  std::vector<Row> rows;
};

// Thread-safe; connections are reused.
//
// Where a server is away, refuses, or breaks off, the next one is asked within the same time-out:
// with queries as long as no row was given to the visitor (Select: always), with inserts that come
// as a whole, as their token makes the repeat harmless, and with all else as long as nothing of it
// can have been done. Beyond that the caller gets UNAVAILABLE, and the next request another server.
//
// Errors: UNAVAILABLE (EVENT_STORE_DOWN: no server answers; STORE_OVERLOADED; STORE_QUORUM: too few
// replicas have an insert, or nobody knows), DEADLINE_EXCEEDED (QUERY_TIMEOUT), RESOURCE_EXHAUSTED
// (QUERY_TOO_LARGE), CANCELLED, PERMISSION_DENIED (STORE_ACCESS_DENIED), FAILED_PRECONDITION
// (STORE_SCHEMA: unknown table or database), INTERNAL (STORE_ERROR, STORE_PROTOCOL). Where the
// server gave an exception its number is in the error's metadata as "clickhouse_code", also when it
// came in the middle of a result.
class Client {
 public:
  explicit Client(ClientOptions options);
  ~Client();

  // Rows of a result, one by one; the row is reused afterwards. A visitor's error ends the query
  // and is returned. A requested stop ends it within about a second with CANCELLED. A query that
  // is not read to its end, for whatever reason, is killed in the store.
  using RowVisitor = std::function<absl::Status(const Row&)>;
  absl::Status Stream(const Query& query, const RowVisitor& visit,
                      const std::stop_token& stop = {});

  // Prepares all servers (ClientOptions::prepare) that are not yet. OK where at least one can be
  // used; else an error of one, FAILED_PRECONDITION only where that is what all of them have.
  absl::Status PrepareServers();

  // Checks in the background those of several servers in use of which nothing was heard for so
  // long, as none but the first is asked: else nobody would know that they cannot be used.
  void CheckUnheard(std::chrono::milliseconds since);

  // The whole result, at most `max_rows` rows; more are RESOURCE_EXHAUSTED (QUERY_TOO_LARGE).
  absl::StatusOr<Table> Select(const Query& query, size_t max_rows = 100'000,
                               const std::stop_token& stop = {});

  // Of a query of this client that runs now; nothing where none of this tag does.
  absl::StatusOr<std::optional<QueryProgress>> ProgressOf(const std::string& tag);

  // A statement without a result (CREATE, ALTER, OPTIMIZE...).
  absl::Status Execute(const Query& query);

  // Where an insert's data come from: called again and again with room for `capacity` bytes; the
  // number of bytes given, 0 at the end.
  using BodySource = std::function<absl::StatusOr<size_t>(char* buffer, size_t capacity)>;
  // Rows written, where the server tells. After UNAVAILABLE or DEADLINE_EXCEEDED the rows may or
  // may not be there: repeat the same insert with the same deduplication token.
  absl::StatusOr<uint64_t> Insert(const InsertRequest& request, const BodySource& source);
  absl::StatusOr<uint64_t> Insert(const InsertRequest& request, std::string_view body);

  // OK where a server answers.
  absl::Status Ping(std::chrono::milliseconds timeout = std::chrono::seconds(2));

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace yagura::eventstore
