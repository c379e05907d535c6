#pragma once

#include "common/log/log.h"
#include "services/store/http_server.h"

namespace yagura::storeserver {

class Engine;

// Answers ClickHouse's HTTP interface from the engine: GET /ping, and GET or POST / with `query` in
// the URL or as the body, `param_<name>`, `default_format`, and any other parameter as a setting.
// An INSERT whose query is in the URL and names its FORMAT takes its data from the body.
// Errors carry X-ClickHouse-Exception-Code; one in the middle of a result is framed as the server
// does, under X-ClickHouse-Exception-Tag. Thread-safe.
class QueryHandler {
 public:
  QueryHandler(const Engine& engine, Logger logger);
  void Handle(HttpRequest& request, HttpResponder& responder) const;

 private:
  void HandleQuery(HttpRequest& request, HttpResponder& responder) const;

  const Engine& engine_;
  const Logger logger_;
};

}  // namespace yagura::storeserver
