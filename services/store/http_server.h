#pragma once

#include <condition_variable>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "common/log/log.h"

// A small HTTP/1.1 server on a Unix socket, for one trusted client program: what the store's
// interface needs and no more (GET, POST, keep-alive, bodies by length or chunked, both ways).
namespace yagura::storeserver {

// One request; its body is read by the handler, piece by piece.
class HttpRequest {
 public:
  std::string method;
  std::string path;                                             // decoded, without the query
  std::vector<std::pair<std::string, std::string>> parameters;  // of the query, decoded
  std::map<std::string, std::string> headers;                   // names in lower case

  virtual ~HttpRequest() = default;
  // The next piece of the body, valid until the next call; empty at its end. UNAVAILABLE where the
  // client went away, INVALID_ARGUMENT where the body is malformed.
  virtual absl::StatusOr<std::string_view> ReadBody() = 0;
  // The whole body. RESOURCE_EXHAUSTED where it is longer than `limit`.
  absl::StatusOr<std::string> ReadWholeBody(size_t limit);
};

class HttpResponder {
 public:
  using Headers = std::vector<std::pair<std::string, std::string>>;
  virtual ~HttpResponder() = default;
  // A whole answer.
  virtual void Send(int status, const Headers& headers, std::string_view body) = 0;
  // An answer in pieces. False: the client went away.
  virtual bool Begin(int status, const Headers& headers) = 0;
  virtual bool Write(std::string_view piece) = 0;
  virtual void End() = 0;
};

class HttpServer {
 public:
  struct Options {
    std::filesystem::path socket;  // replaced where it exists; mode 0600
    size_t max_connections = 64;   // one thread each; more are answered 503
  };
  using Handler = std::function<void(HttpRequest&, HttpResponder&)>;

  static absl::StatusOr<std::unique_ptr<HttpServer>> Listen(const Options& options, Handler handler,
                                                            Logger logger);
  ~HttpServer();  // Stop

  // No new requests; those in progress are waited for until `grace` is over, then cut off.
  void Stop(std::chrono::milliseconds grace);

 private:
  HttpServer(Options options, Handler handler, Logger logger, int listener, int wake);
  void AcceptLoop();
  void Serve(int connection);

  const Options options_;
  const Handler handler_;
  const Logger logger_;
  const int listener_;
  const int wake_;  // eventfd: readable once the server stops
  std::mutex mutex_;
  std::condition_variable idle_;
  std::set<int> connections_;  // of threads that run
  std::set<int> busy_;         // those of them with a request in progress
  bool stopping_ = false;
  std::thread acceptor_;
};

}  // namespace yagura::storeserver
