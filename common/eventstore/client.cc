#include "common/eventstore/client.h"

#include <sys/random.h>

#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "fmt/format.h"

#include "common/eventstore/exception.h"
#include "common/eventstore/http.h"
#include "common/eventstore/row_binary.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::eventstore {
namespace {

constexpr size_t kMaxErrorBody = 64 << 10;
constexpr std::chrono::seconds kKillTimeout{2};
constexpr std::string_view kFormat = "RowBinaryWithNamesAndTypes";

// How the store reads the value of a scalar parameter (its TabSeparated escapes).
std::string EscapeParameter(std::string_view value) {
  std::string out;
  out.reserve(value.size());
  for (const char c : value) {
    switch (c) {
      case '\\':
        out += "\\\\";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\0':
        out += "\\0";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// The number behind "written_rows":" in X-ClickHouse-Summary; 0 where there is none.
uint64_t WrittenRows(std::string_view summary) {
  constexpr std::string_view kName = "\"written_rows\":\"";
  const size_t at = summary.find(kName);
  if (at == std::string_view::npos) return 0;
  summary.remove_prefix(at + kName.size());
  return ParseNumber<uint64_t>(summary.substr(0, summary.find('"'))).value_or(0);
}

std::string Header(const HttpResponse& response, const std::string& name) {
  const auto it = response.headers.find(name);
  return it == response.headers.end() ? std::string() : it->second;
}

// Sorts the pieces of a response into result and exception.
class ResponseReader {
 public:
  using ResultSink = std::function<Status(std::string_view)>;
  explicit ResponseReader(ResultSink sink) : sink_(std::move(sink)) {}

  Status OnPiece(const HttpResponse& response, std::string_view piece) {
    if (response.status != 200 || response.headers.contains("x-clickhouse-exception-code")) {
      error_.append(piece.substr(0, kMaxErrorBody - std::min(kMaxErrorBody, error_.size())));
      return absl::OkStatus();
    }
    if (!finder_) finder_.emplace(Header(response, "x-clickhouse-exception-tag"));
    result_.clear();
    finder_->Feed(piece, &result_);
    return result_.empty() ? absl::OkStatus() : sink_(result_);
  }

  // The store's answer was read to its end.
  bool ended() const { return ended_; }

  Status Finish(const HttpResponse& response) {
    ended_ = true;
    const int code = ParseNumber<int>(Header(response, "x-clickhouse-exception-code")).value_or(0);
    if (response.status != 200 || code != 0) {
      if (code == 0 && ExceptionCode(error_) == 0) return NotFromStore(response);
      return FromException(code != 0 ? code : ExceptionCode(error_), error_);
    }
    if (finder_ && finder_->found()) {
      const std::string text = finder_->text();
      return FromException(ExceptionCode(text), text);
    }
    if (response.truncated) {
      return Unavailable("EVENT_STORE_DOWN", "event store broke off in the middle of its answer");
    }
    if (!finder_) return absl::OkStatus();
    result_.clear();
    finder_->Finish(&result_);
    return result_.empty() ? absl::OkStatus() : sink_(result_);
  }

 private:
  static Status NotFromStore(const HttpResponse& response) {
    const bool busy = response.status == 429 || response.status >= 502;
    return MakeError(busy ? absl::StatusCode::kUnavailable : absl::StatusCode::kInternal,
                     busy ? "EVENT_STORE_DOWN" : "STORE_PROTOCOL",
                     fmt::format("event store answered HTTP {}", response.status));
  }

  bool ended_ = false;
  ResultSink sink_;
  std::optional<ExceptionFinder> finder_;
  std::string result_;
  std::string error_;
};

}  // namespace

std::string NewQueryTag() {
  std::array<char, 16> bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return {};
  return HexEncode({bytes.data(), bytes.size()});
}

std::string ArrayParameter(const std::vector<std::string>& values) {
  std::string out = "[";
  for (const std::string& value : values) {
    if (out.size() > 1) out += ',';
    out += '\'';
    for (const char c : value) {
      if (c == '\'' || c == '\\') out += '\\';
      if (c == '\0') {
        out += "\\0";
      } else {
        out += c;
      }
    }
    out += '\'';
  }
  out += ']';
  return out;
}

struct Client::Impl {
  explicit Impl(ClientOptions options_in)
      : options(std::move(options_in)),
        transport({options.addresses, options.ca_file, options.connect_timeout,
                   options.max_idle_connections}) {}

  std::chrono::milliseconds Timeout(std::chrono::milliseconds asked) const {
    return asked.count() > 0 ? asked : options.timeout;
  }

  void AddIdentity(HttpRequest* request) const {
    if (!options.user.empty()) request->headers.emplace_back("X-ClickHouse-User", options.user);
    if (!options.password.empty()) {
      request->headers.emplace_back("X-ClickHouse-Key", options.password);
    }
  }

  HttpRequest QueryRequest(const Query& query) const {
    HttpRequest request;
    request.method = "POST";
    request.path = "/";
    request.timeout = Timeout(query.timeout);
    request.body = query.sql;
    request.parameters.emplace_back("default_format", kFormat);
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(request.timeout).count();
    if (!query.settings.contains("max_execution_time")) {
      request.parameters.emplace_back("max_execution_time", std::to_string(seconds));
    }
    for (const auto& setting : query.settings) request.parameters.push_back(setting);
    for (const auto& [name, value] : query.parameters) {
      request.parameters.emplace_back("param_" + name, EscapeParameter(value));
    }
    for (const auto& [name, value] : query.array_parameters) {
      request.parameters.emplace_back("param_" + name, value);
    }
    // Not as a query id: yagura-store has none.
    if (!query.tag.empty()) request.parameters.emplace_back("log_comment", query.tag);
    AddIdentity(&request);
    return request;
  }

  // A query with a result. Whoever does not read it to its end leaves nothing running.
  Status Run(Query query, ResponseReader* reader, const std::stop_token& stop) {
    if (query.tag.empty()) query.tag = NewQueryTag();
    const Status status = Send(QueryRequest(query), reader, stop).status();
    if (!status.ok() && !reader->ended() && ErrorReason(status) != "EVENT_STORE_DOWN") {
      Kill(query.tag);
    }
    return status;
  }

  void Kill(const std::string& tag) {
    Query kill;
    kill.sql = "KILL QUERY WHERE Settings['log_comment'] = {tag:String} ASYNC";
    kill.parameters["tag"] = tag;
    kill.timeout = kKillTimeout;
    ResponseReader reader([](std::string_view) { return absl::OkStatus(); });
    // The store gives it up by itself after max_execution_time.
    Send(QueryRequest(kill), &reader, {}).status().IgnoreError();
  }

  StatusOr<HttpResponse> Send(const HttpRequest& request, ResponseReader* reader,
                              const std::stop_token& stop) {
    auto response = transport.Perform(
        request,
        [reader](const HttpResponse& head, std::string_view piece) {
          return reader->OnPiece(head, piece);
        },
        stop);
    if (!response.ok()) return response;
    YAGURA_RETURN_IF_ERROR(reader->Finish(*response));
    return response;
  }

  StatusOr<uint64_t> Insert(const InsertRequest& insert, HttpRequest request) {
    request.method = "POST";
    request.path = "/";
    request.timeout = Timeout(insert.timeout);
    request.parameters.emplace_back("query", insert.sql);
    if (!insert.settings.contains("async_insert")) {
      request.parameters.emplace_back("async_insert", "0");
    }
    for (const auto& setting : insert.settings) request.parameters.push_back(setting);
    AddIdentity(&request);
    ResponseReader reader([](std::string_view) { return absl::OkStatus(); });
    YAGURA_ASSIGN_OR_RETURN(const HttpResponse response, Send(request, &reader, {}));
    return WrittenRows(Header(response, "x-clickhouse-summary"));
  }

  const ClientOptions options;
  HttpTransport transport;
};

Client::Client(ClientOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Client::~Client() = default;

Status Client::Stream(const Query& query, const RowVisitor& visit, const std::stop_token& stop) {
  RowBinaryReader rows(visit);
  ResponseReader reader([&rows](std::string_view piece) { return rows.Feed(piece); });
  YAGURA_RETURN_IF_ERROR(impl_->Run(query, &reader, stop));
  return rows.Finish();
}

StatusOr<Table> Client::Select(const Query& query, size_t max_rows, const std::stop_token& stop) {
  Table table;
  RowBinaryReader rows([&table, max_rows](const Row& row) -> Status {
    if (table.rows.size() == max_rows) {
      return MakeError(absl::StatusCode::kResourceExhausted, "QUERY_TOO_LARGE",
                       fmt::format("the result has more than {} rows", max_rows));
    }
    table.rows.push_back(row);
    return absl::OkStatus();
  });
  ResponseReader reader([&rows](std::string_view piece) { return rows.Feed(piece); });
  YAGURA_RETURN_IF_ERROR(impl_->Run(query, &reader, stop));
  YAGURA_RETURN_IF_ERROR(rows.Finish());
  table.columns = rows.columns();
  return table;
}

StatusOr<std::optional<QueryProgress>> Client::ProgressOf(const std::string& tag) {
  Query query;
  query.sql =
      "SELECT toUInt64(read_rows), toUInt64(read_bytes), toUInt64(total_rows_approx) FROM "
      "system.processes WHERE Settings['log_comment'] = {tag:String}";
  query.parameters["tag"] = tag;
  query.timeout = kKillTimeout;
  YAGURA_ASSIGN_OR_RETURN(const Table table, Select(query));
  if (table.rows.empty()) return std::optional<QueryProgress>();
  const Row& row = table.rows.front();
  return QueryProgress{row.at(0).AsUnsigned(), row.at(1).AsUnsigned(), row.at(2).AsUnsigned()};
}

Status Client::Execute(const Query& query) {
  ResponseReader reader([](std::string_view) { return absl::OkStatus(); });
  return impl_->Send(impl_->QueryRequest(query), &reader, {}).status();
}

StatusOr<uint64_t> Client::Insert(const InsertRequest& request, const BodySource& source) {
  HttpRequest http;
  http.source = source;
  return impl_->Insert(request, std::move(http));
}

StatusOr<uint64_t> Client::Insert(const InsertRequest& request, std::string_view body) {
  HttpRequest http;
  http.body = body;
  return impl_->Insert(request, std::move(http));
}

Status Client::Ping(std::chrono::milliseconds timeout) {
  HttpRequest request;
  request.method = "GET";
  request.path = "/ping";
  request.timeout = timeout;
  ResponseReader reader([](std::string_view) { return absl::OkStatus(); });
  return impl_->Send(request, &reader, {}).status();
}

}  // namespace yagura::eventstore
