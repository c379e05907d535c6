#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace yagura::eventstore {

// One HTTP exchange with one of several servers; no knowledge of what is said.

struct HttpRequest {
  std::string method;                                           // "GET" or "POST"
  std::string path;                                             // "/" or "/ping"
  std::vector<std::pair<std::string, std::string>> parameters;  // of the URL, not yet encoded
  std::vector<std::pair<std::string, std::string>> headers;
  std::chrono::milliseconds timeout{30'000};
  // The body: `body` itself, or where `source` is set, what it gives until it gives 0.
  std::string_view body;
  std::function<absl::StatusOr<size_t>(char* buffer, size_t capacity)> source;
  // Asked where for `silence` nothing has come or gone, and again each time it has lasted as long:
  // false ends the exchange with UNAVAILABLE. Null: nobody is asked.
  std::function<bool()> still_there;
  std::chrono::milliseconds silence{3'000};
};

struct HttpResponse {
  long status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  // The body was cut off by the peer, or did not end as announced.
  bool truncated = false;
};

class HttpTransport {
 public:
  struct Options {
    std::vector<std::string> addresses;
    std::string ca_file;           // PEM; empty: the system's
    std::string certificate_file;  // PEM, ours; empty: none is shown
    std::string key_file;          // PEM; empty: in certificate_file
    std::chrono::milliseconds connect_timeout{2'000};
    size_t max_idle = 16;
  };
  explicit HttpTransport(Options options);
  ~HttpTransport();

  size_t servers() const { return options_.addresses.size(); }

  // Told the response's headers before the first piece of its body. An error ends the exchange.
  using BodySink = std::function<absl::Status(const HttpResponse&, std::string_view piece)>;
  struct Result {
    absl::StatusOr<HttpResponse> response;
    // Something of the request may have come to the server.
    bool sent = false;
    // Something of an answer came.
    bool answered = false;
  };
  // With the server of that number in `addresses`. UNAVAILABLE (EVENT_STORE_DOWN),
  // DEADLINE_EXCEEDED (QUERY_TIMEOUT), CANCELLED, or the sink's or source's own error.
  Result Perform(size_t server, const HttpRequest& request, const BodySink& sink,
                 const std::stop_token& stop);

 private:
  struct Exchange;
  struct FreeHandle {
    void operator()(void* handle) const;
  };
  using Handle = std::unique_ptr<void, FreeHandle>;

  Handle TakeHandle(size_t server);
  void ReturnHandle(size_t server, Handle handle);
  void SetTls(void* curl) const;

  const Options options_;
  std::mutex mutex_;
  std::vector<std::pair<size_t, Handle>> idle_;
};

}  // namespace yagura::eventstore
