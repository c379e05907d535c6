#include "services/store/query_handler.h"

#include <sys/random.h>

#include <map>
#include <memory>
#include <utility>

#include "fmt/format.h"

#include "common/eventstore/exception.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/store/engine.h"
#include "services/store/statement_text.h"

namespace yagura::storeserver {
namespace {

constexpr size_t kMaxQuery = 4 << 20;
constexpr size_t kTagSize = 16;

// Parameters of the interface that are neither settings nor parameters of the query.
bool IsReserved(std::string_view name) {
  return name == "query" || name == "default_format" || name == "database" || name == "user" ||
         name == "password" || name == "query_id" || name == "session_id" ||
         name == "wait_end_of_query" || name == "buffer_size" || name == "compress" ||
         name == "decompress";
}

int HttpStatusOf(int code) {
  switch (code) {
    case 60:   // UNKNOWN_TABLE
    case 81:   // UNKNOWN_DATABASE
    case 115:  // UNKNOWN_SETTING
      return 404;
    case 36:   // BAD_ARGUMENTS
    case 46:   // UNKNOWN_FUNCTION
    case 47:   // UNKNOWN_IDENTIFIER
    case 62:   // SYNTAX_ERROR
    case 457:  // BAD_QUERY_PARAMETER
      return 400;
    default:
      return 500;
  }
}

void SendException(HttpResponder& responder, const Exception& exception) {
  responder.Send(HttpStatusOf(exception.code),
                 {{"Content-Type", "text/plain; charset=UTF-8"},
                  {"X-ClickHouse-Exception-Code", std::to_string(exception.code)}},
                 exception.text + "\n");
}

// Letters that nobody can guess: a row cannot imitate the frame of an exception.
std::string NewTag() {
  unsigned char bytes[kTagSize] = {};
  if (getrandom(bytes, sizeof(bytes), 0) != static_cast<ssize_t>(sizeof(bytes))) return {};
  std::string tag;
  for (const unsigned char byte : bytes) tag += static_cast<char>('a' + byte % 26);
  return tag;
}

struct Parsed {
  Statement statement;
  std::map<std::string, std::string> settings;
  bool query_in_url = false;
};

Parsed Parse(const HttpRequest& request) {
  Parsed parsed;
  for (const auto& [name, value] : request.parameters) {
    if (name == "query") {
      parsed.statement.sql = value;
      parsed.query_in_url = !value.empty();
    } else if (name == "default_format") {
      parsed.statement.format = value;
    } else if (name.starts_with("param_")) {
      parsed.statement.parameters[name.substr(6)] = value;
    } else if (!IsReserved(name)) {
      parsed.settings[name] = value;
    }
  }
  return parsed;
}

void AnswerInsert(Session& session, const Statement& statement, HttpRequest& request,
                  HttpResponder& responder) {
  const Session::Written written =
      session.Insert(statement, [&request] { return request.ReadBody(); });
  if (!written.exception.ok()) {
    SendException(responder, written.exception);
    return;
  }
  responder.Send(
      200,
      {{"Content-Type", "text/plain; charset=UTF-8"},
       {"X-ClickHouse-Summary", fmt::format("{{\"written_rows\":\"{}\"}}", written.rows)}},
      "");
}

void AnswerQuery(Session& session, const Statement& statement, HttpResponder& responder) {
  const std::string tag = NewTag();
  bool begun = false;
  const auto begin = [&] {
    begun = true;
    return responder.Begin(
        200, {{"Content-Type", "application/octet-stream"}, {"X-ClickHouse-Exception-Tag", tag}});
  };
  const Exception exception = session.Run(statement, [&](std::string_view piece) {
    return (begun || begin()) && responder.Write(piece);
  });
  if (!exception.ok() && !begun) {
    SendException(responder, exception);
    return;
  }
  if (!begun) begin();
  if (!exception.ok()) responder.Write(eventstore::FramedException(tag, exception.text));
  responder.End();
}

}  // namespace

QueryHandler::QueryHandler(const Engine& engine, Logger logger)
    : engine_(engine), logger_(std::move(logger)) {}

void QueryHandler::HandleQuery(HttpRequest& request, HttpResponder& responder) const {
  Parsed parsed = Parse(request);
  InsertText insert;
  if (parsed.query_in_url) insert = SplitInsert(parsed.statement.sql);
  if (insert.format.empty()) {
    const auto body = request.ReadWholeBody(kMaxQuery);
    if (!body.ok()) {
      responder.Send(413, {{"Connection", "close"}}, fmt::format("{}\n", Message(body.status())));
      return;
    }
    if (!body->empty() && parsed.query_in_url) parsed.statement.sql += '\n';
    parsed.statement.sql += *body;
  }
  const auto session = engine_.NewSession();
  if (!session.ok()) {
    responder.Send(503, {}, fmt::format("{}\n", Message(session.status())));
    return;
  }
  if (const Exception exception = (*session)->Set(parsed.settings); !exception.ok()) {
    SendException(responder, exception);
    return;
  }
  if (insert.format.empty()) {
    AnswerQuery(**session, parsed.statement, responder);
    return;
  }
  parsed.statement.sql = std::move(insert.statement);
  parsed.statement.format = std::move(insert.format);
  AnswerInsert(**session, parsed.statement, request, responder);
}

void QueryHandler::Handle(HttpRequest& request, HttpResponder& responder) const {
  const bool post = request.method == "POST";
  if (!post && request.method != "GET") {
    responder.Send(405, {{"Connection", "close"}}, "Only GET and POST.\n");
  } else if (request.path == "/ping" ||
             (request.path == "/" && !post && request.parameters.empty())) {
    responder.Send(200, {{"Content-Type", "text/plain; charset=UTF-8"}}, "Ok.\n");
  } else if (request.path == "/") {
    HandleQuery(request, responder);
  } else {
    responder.Send(404, {{"Connection", "close"}}, "There is nothing here.\n");
  }
}

}  // namespace yagura::storeserver
