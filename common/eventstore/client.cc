#include "common/eventstore/client.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <optional>
#include <utility>

#include "fmt/format.h"

#include "common/eventstore/exception.h"
#include "common/eventstore/http.h"
#include "common/eventstore/response_reader.h"
#include "common/eventstore/row_binary.h"
#include "common/eventstore/server_choice.h"
#include "common/eventstore/tables_named.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::eventstore {
namespace {

constexpr std::chrono::milliseconds kKillTimeout{2'000};
// A replica that needs longer to have what others have is asked nothing.
constexpr std::chrono::milliseconds kSyncTimeout{5'000};
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

namespace {

// What is asked of one server or, where that is away, of another one.
struct Asking {
  HttpRequest request;
  ResponseReader::ResultSink sink = [](std::string_view) { return absl::OkStatus(); };
  // Whether it may be put to another server after this one may have begun with it. Called before
  // it is, so that what came so far is forgotten.
  std::function<bool()> again = [] { return false; };
  std::string_view sql;  // of what is read; empty: no replica need have caught up
  std::string tag;
};

ServerChoice::Options ChoiceOptions(const ClientOptions& options) {
  return {options.addresses.size(), options.first_pause, options.longest_pause,
          options.prepare != nullptr, options.on_change};
}

}  // namespace

struct Client::Impl {
  explicit Impl(ClientOptions options_in)
      : options(std::move(options_in)),
        transport({options.addresses, options.ca_file, options.certificate_file, options.key_file,
                   options.connect_timeout, options.max_idle_connections}),
        choice(ChoiceOptions(options),
               [this](size_t server, bool anew, const std::stop_token& stop) {
                 return Check(server, anew, stop);
               }) {}

  using Clock = ServerChoice::Clock;

  static std::chrono::milliseconds LeftUntil(Clock::time_point deadline) {
    return std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  }

  std::chrono::milliseconds Timeout(std::chrono::milliseconds asked) const {
    return asked.count() > 0 ? asked : options.timeout;
  }

  void AddIdentity(HttpRequest* request) const {
    if (!options.user.empty()) request->headers.emplace_back("X-ClickHouse-User", options.user);
    if (!options.password.empty()) {
      request->headers.emplace_back("X-ClickHouse-Key", options.password);
    }
  }

  void AddSettings(Settings settings, HttpRequest* request) const {
    settings.insert(options.settings.begin(), options.settings.end());
    for (const auto& setting : settings) request->parameters.push_back(setting);
  }

  HttpRequest QueryRequest(const Query& query) const {
    HttpRequest request;
    request.method = "POST";
    request.path = "/";
    request.timeout = Timeout(query.timeout);
    request.body = query.sql;
    request.parameters.emplace_back("default_format", kFormat);
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(request.timeout).count();
    Settings settings = query.settings;
    if (!options.settings.contains("max_execution_time")) {
      settings.emplace("max_execution_time", std::to_string(seconds));
    }
    AddSettings(std::move(settings), &request);
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

  static HttpRequest PingRequest(std::chrono::milliseconds timeout) {
    HttpRequest request;
    request.method = "GET";
    request.path = "/ping";
    request.timeout = timeout;
    return request;
  }

  // A query with a result. Whoever does not read it to its end leaves nothing running.
  Status Run(Query query, Asking asking, const std::stop_token& stop) {
    if (query.tag.empty()) query.tag = NewQueryTag();
    asking.request = QueryRequest(query);
    asking.sql = query.sql;
    asking.tag = query.tag;
    const Status status = Send(asking, stop).status();
    const std::lock_guard lock(running_mutex);
    running.erase(query.tag);
    return status;
  }

  // One request to one server, whatever is known of it.
  struct Answer {
    StatusOr<HttpResponse> response;
    bool sent = false;
    bool answered = false;
    bool ended = false;  // the answer was read to its end
    bool ours = false;   // the error is that of the sink or the source
  };
  Answer Ask(size_t server, const HttpRequest& request, const ResponseReader::ResultSink& sink,
             const std::stop_token& stop) {
    Answer answer{absl::UnknownError(""), false, false, false, false};
    const auto ours = [&answer](const Status& status) {
      answer.ours = answer.ours || !status.ok();
      return status;
    };
    ResponseReader reader([&](std::string_view piece) { return ours(sink(piece)); });
    HttpRequest asked = request;
    if (request.source) {
      asked.source = [&](char* buffer, size_t capacity) {
        auto given = request.source(buffer, capacity);
        ours(given.status()).IgnoreError();
        return given;
      };
    }
    auto result = transport.Perform(
        server, asked,
        [&reader](const HttpResponse& head, std::string_view piece) {
          return reader.OnPiece(head, piece);
        },
        stop);
    answer.sent = result.sent;
    answer.answered = result.answered;
    answer.response = std::move(result.response);
    if (answer.response.ok()) {
      const Status status = reader.Finish(*answer.response);
      if (!status.ok()) answer.response = status;
    }
    answer.ended = reader.ended();
    return answer;
  }

  Status AskForNothing(size_t server, const HttpRequest& request, const std::stop_token& stop) {
    const auto ignore = [](std::string_view) { return absl::OkStatus(); };
    return Ask(server, request, ignore, stop).response.status();
  }

  Status PingServer(size_t server, std::chrono::milliseconds timeout, const std::stop_token& stop) {
    return AskForNothing(server, PingRequest(timeout), stop);
  }

  // Whether a server can be used (again). One that is in use is not prepared each time.
  Status Check(size_t server, bool anew, const std::stop_token& stop) {
    YAGURA_RETURN_IF_ERROR(PingServer(server, options.connect_timeout, stop));
    if (anew && options.prepare != nullptr) {
      ClientOptions alone = options;
      alone.addresses = {options.addresses[server]};
      alone.prepare = nullptr;
      alone.on_change = nullptr;
      alone.replicated_tables.clear();
      Client client(std::move(alone));
      YAGURA_RETURN_IF_ERROR(options.prepare(client));
    }
    for (const std::string& table : options.replicated_tables) {
      YAGURA_RETURN_IF_ERROR(Sync(server, table, kSyncTimeout, stop));
    }
    return absl::OkStatus();
  }

  // Waits until the replica has what others have. Only one that has not after all of kSyncTimeout
  // is UNAVAILABLE.
  Status Sync(size_t server, const std::string& table, std::chrono::milliseconds timeout,
              const std::stop_token& stop) {
    Query query;
    query.sql = fmt::format("SYSTEM SYNC REPLICA {} LIGHTWEIGHT", table);
    query.timeout = timeout;
    query.settings["receive_timeout"] =
        std::to_string(std::chrono::ceil<std::chrono::seconds>(timeout).count());
    Status status = AskForNothing(server, QueryRequest(query), stop);
    if (status.code() == absl::StatusCode::kDeadlineExceeded && timeout >= kSyncTimeout) {
      return Unavailable("EVENT_STORE_DOWN",
                         fmt::format("event store's replica of {} is too far behind", table));
    }
    return status;
  }

  // Checks a server where that is needed, and lets it catch up. No step takes more than half of
  // what is left, so that there is some for the answer, or for the next server.
  Status MakeFit(size_t server, const Asking& asking, Clock::time_point deadline,
                 const std::stop_token& stop) {
    const auto now = Clock::now();
    YAGURA_RETURN_IF_ERROR(choice.Ready(server, now + (deadline - now) / 2, stop));
    for (const std::string& table : TablesNamedIn(asking.sql, options.replicated_tables)) {
      const auto half = LeftUntil(deadline) / 2;
      const Status status =
          Sync(server, table, std::clamp(half, std::chrono::milliseconds(1), kSyncTimeout), stop);
      if (status.ok()) continue;
      if (BlameOf(status) == Blame::kServer) {
        choice.Failed(server, status);
      } else if (status.code() == absl::StatusCode::kDeadlineExceeded) {
        choice.Suspect(server);  // or this request has too little patience
      }
      return status;
    }
    return absl::OkStatus();
  }

  void Kill(size_t server, const std::string& tag) {
    Query kill;
    kill.sql = "KILL QUERY WHERE Settings['log_comment'] = {tag:String} ASYNC";
    kill.parameters["tag"] = tag;
    kill.timeout = kKillTimeout;
    // The store gives it up by itself after max_execution_time.
    AskForNothing(server, QueryRequest(kill), {}).IgnoreError();
  }

  // What is to be done after a server failed: nothing where another one may be asked.
  std::optional<Status> AfterFailure(size_t server, const Asking& asking, const Answer& answer) {
    const Status& status = answer.response.status();
    const Blame blame = answer.ours ? Blame::kQuery : BlameOf(status);
    if (blame == Blame::kServer) choice.Failed(server, status);
    if (blame == Blame::kQuery) {
      if (status.code() == absl::StatusCode::kDeadlineExceeded && !answer.answered) {
        choice.Suspect(server);
      }
      const bool lives = answer.ours || status.code() != absl::StatusCode::kUnavailable;
      if (!asking.tag.empty() && answer.sent && !answer.ended && lives) Kill(server, asking.tag);
      return status;
    }
    const bool nothing_done = !answer.sent || (WasRefused(status) && !asking.request.source);
    if (nothing_done || asking.again()) return std::nullopt;
    return status;
  }

  StatusOr<HttpResponse> Send(const Asking& asking, const std::stop_token& stop) {
    const auto deadline = Clock::now() + asking.request.timeout;
    std::vector<std::pair<size_t, Status>> failures;
    for (const size_t server : choice.Order()) {
      if (LeftUntil(deadline).count() <= 0) break;
      const auto began = Clock::now();
      if (const Status fit = MakeFit(server, asking, deadline, stop); !fit.ok()) {
        if (stop.stop_requested()) return fit;
        failures.emplace_back(server, fit);
        continue;
      }
      const auto left = LeftUntil(deadline);
      if (left.count() <= 0) break;
      if (!asking.tag.empty()) {
        const std::lock_guard lock(running_mutex);
        running[asking.tag] = server;
      }
      HttpRequest request = asking.request;
      request.timeout = left;
      if (transport.servers() > 1) {
        request.silence = options.silence;
        request.still_there = [this, server, deadline, &stop] {
          // Where too little time is left to tell, the deadline ends it.
          return LeftUntil(deadline) < options.connect_timeout ||
                 PingServer(server, options.connect_timeout, stop).ok() || stop.stop_requested();
        };
      }
      Answer answer = Ask(server, request, asking.sink, stop);
      if (answer.response.ok()) {
        choice.Worked(server, began);
        return std::move(answer.response);
      }
      if (const auto final = AfterFailure(server, asking, answer)) return *final;
      failures.emplace_back(server, answer.response.status());
    }
    return All(failures);
  }

  // One error for those of all servers.
  static Status All(const std::vector<std::pair<size_t, Status>>& failures) {
    if (failures.empty()) {
      return MakeError(absl::StatusCode::kDeadlineExceeded, "QUERY_TIMEOUT",
                       "no time was left to ask the event store");
    }
    const Status& first = failures.front().second;
    if (failures.size() == 1) return first;
    std::string text;
    bool alike = true;
    for (const auto& [server, status] : failures) {
      text += fmt::format("{}server {}: {}", text.empty() ? "" : "; ", server + 1, Message(status));
      alike = alike && status.code() == first.code() && ErrorReason(status) == ErrorReason(first);
    }
    return alike ? MakeError(first.code(), ErrorReason(first), text)
                 : Unavailable("EVENT_STORE_DOWN", text);
  }

  StatusOr<uint64_t> Insert(const InsertRequest& insert, HttpRequest request) {
    request.method = "POST";
    request.path = "/";
    request.timeout = Timeout(insert.timeout);
    request.parameters.emplace_back("query", insert.sql);
    Settings settings = insert.settings;
    settings.emplace("async_insert", "0");
    AddSettings(settings, &request);
    AddIdentity(&request);
    Asking asking;
    const bool whole = !request.source && insert.settings.contains("insert_deduplication_token");
    asking.again = [whole] { return whole; };
    asking.request = std::move(request);
    YAGURA_ASSIGN_OR_RETURN(const HttpResponse response, Send(asking, {}));
    return WrittenRows(HeaderOf(response, "x-clickhouse-summary"));
  }

  const ClientOptions options;
  HttpTransport transport;
  std::mutex running_mutex;
  std::map<std::string, size_t> running;  // the server of each query, by its tag
  ServerChoice choice;                    // last: it checks in a thread of its own
};

Client::Client(ClientOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Client::~Client() = default;

Status Client::Stream(const Query& query, const RowVisitor& visit, const std::stop_token& stop) {
  bool given = false;
  const auto visitor = [&](const Row& row) {
    given = true;
    return visit(row);
  };
  std::optional<RowBinaryReader> rows(visitor);
  Asking asking;
  asking.sink = [&rows](std::string_view piece) { return rows->Feed(piece); };
  asking.again = [&] {
    if (!given) rows.emplace(visitor);
    return !given;
  };
  YAGURA_RETURN_IF_ERROR(impl_->Run(query, std::move(asking), stop));
  return rows->Finish();
}

StatusOr<Table> Client::Select(const Query& query, size_t max_rows, const std::stop_token& stop) {
  Table table;
  const auto visitor = [&table, max_rows](const Row& row) -> Status {
    if (table.rows.size() == max_rows) {
      return MakeError(absl::StatusCode::kResourceExhausted, "QUERY_TOO_LARGE",
                       fmt::format("the result has more than {} rows", max_rows));
    }
    table.rows.push_back(row);
    return absl::OkStatus();
  };
  std::optional<RowBinaryReader> rows(visitor);
  Asking asking;
  asking.sink = [&rows](std::string_view piece) { return rows->Feed(piece); };
  asking.again = [&] {
    table.rows.clear();
    rows.emplace(visitor);
    return true;
  };
  YAGURA_RETURN_IF_ERROR(impl_->Run(query, std::move(asking), stop));
  YAGURA_RETURN_IF_ERROR(rows->Finish());
  table.columns = rows->columns();
  return table;
}

StatusOr<std::optional<QueryProgress>> Client::ProgressOf(const std::string& tag) {
  size_t server = 0;
  {
    const std::lock_guard lock(impl_->running_mutex);
    const auto it = impl_->running.find(tag);
    if (it == impl_->running.end()) return std::optional<QueryProgress>();
    server = it->second;
  }
  Query query;
  query.sql =
      "SELECT toUInt64(read_rows), toUInt64(read_bytes), toUInt64(total_rows_approx) FROM "
      "system.processes WHERE Settings['log_comment'] = {tag:String}";
  query.parameters["tag"] = tag;
  query.timeout = kKillTimeout;
  std::optional<QueryProgress> progress;
  RowBinaryReader rows([&progress](const Row& row) {
    progress = {row.at(0).AsUnsigned(), row.at(1).AsUnsigned(), row.at(2).AsUnsigned()};
    return absl::OkStatus();
  });
  const auto answer = impl_->Ask(server, impl_->QueryRequest(query),
                                 [&rows](std::string_view piece) { return rows.Feed(piece); }, {});
  YAGURA_RETURN_IF_ERROR(answer.response.status());
  YAGURA_RETURN_IF_ERROR(rows.Finish());
  return progress;
}

Status Client::PrepareServers() {
  Status error;
  bool usable = false;
  for (size_t server = 0; server < impl_->options.addresses.size(); ++server) {
    const Status ready = impl_->choice.Ready(server, Impl::Clock::time_point::max(), {});
    usable = usable || ready.ok();
    // One that is away may yet be fit.
    if (error.ok() || error.code() == absl::StatusCode::kFailedPrecondition) error = ready;
  }
  return usable ? absl::OkStatus() : error;
}

void Client::CheckUnheard(std::chrono::milliseconds since) {
  impl_->choice.SuspectUnheard(Impl::Clock::now() - since);
}

Status Client::Execute(const Query& query) {
  Asking asking;
  asking.request = impl_->QueryRequest(query);
  return impl_->Send(asking, {}).status();
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
  Asking asking;
  asking.request = Impl::PingRequest(timeout);
  asking.again = [] { return true; };
  return impl_->Send(asking, {}).status();
}

}  // namespace yagura::eventstore
