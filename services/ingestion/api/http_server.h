#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "common/event/event_view.h"
#include "common/log/log.h"

namespace yagura::ingestion {

class DescriptorBudget;
class HttpTls;
class IngestionMetrics;

// A request, without its body.
struct HttpHead {
  std::string listener;                                        // HttpServerOptions::name
  std::string method;                                          // "POST"
  std::string path;                                            // "/services/collector/event"
  std::vector<std::pair<std::string, std::string>> arguments;  // of the query, decoded
  std::string peer;          // as gRPC names peers: "ipv4:192.0.2.1:50000"
  event::IpAddress address;  // the same
  // What the sender's certificate is told by, the digest first; null or empty where it showed none.
  std::shared_ptr<const std::vector<std::string>> certificates;
  std::string authorization;
  std::string content_encoding;
  std::string idempotency_key;
  // What Admit leaves: whose share of the queue and of the bytes it draws on, and what Handle
  // needs.
  std::string share;
  std::shared_ptr<const void> admitted;
};

struct HttpAnswer {
  int status = 200;
  std::string body;  // JSON
  std::vector<std::pair<std::string, std::string>> headers;
};

// What the server asks. Called by several threads at once.
class HttpHandler {
 public:
  enum class Admission { kIn, kRefused, kAskAgain };

  virtual ~HttpHandler() = default;
  // Before the body is taken. Where it must not wait it may say kAskAgain; it is then asked on a
  // thread on which it may. `refusal` is the answer for kRefused.
  virtual Admission Admit(HttpHead& head, bool may_wait, HttpAnswer* refusal) = 0;
  // May wait.
  virtual HttpAnswer Handle(const HttpHead& head, std::string body) = 0;
  // For what the server itself refuses: 413, 503 (too busy).
  virtual HttpAnswer Refuse(const HttpHead& head, int status, std::string_view why) = 0;
};

struct HttpServerOptions {
  std::string name = "http";  // what sources match by as listener, and metrics name
  std::string address;        // "127.0.0.1:8088"; port 0 takes a free one
  int threads = 4;            // that answer; their waiting requests are bounded too
  int connections = 1'000;
  int connections_per_address = 100;  // of IPv6: per /64
  // So long has a head to come in whole, from the connection or the last answer on, then a body,
  // and then its answer to be taken.
  std::chrono::milliseconds timeout{30'000};
  std::chrono::milliseconds drain{5'000};  // at a stop, for requests that have begun
  uint64_t body_bytes = 8ull << 20;        // as it comes over the wire
  uint64_t pending_bytes = 256ull << 20;   // of all bodies at once
  std::shared_ptr<HttpTls> tls = nullptr;  // null: none
  // TLS: a connection whose handshake takes longer is closed.
  std::chrono::milliseconds handshake_timeout{10'000};
  // TLS: connections that may be in their handshake; of more, the oldest is closed.
  size_t max_handshakes = 256;
};

// An HTTP/1.1 server, over TLS where it is told so, that waits for slow senders without a thread
// for each.
class HttpServer {
 public:
  // Binds; serves nothing before Start. `handler` outlives it. `descriptors` may be null.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Make(
      const HttpServerOptions& options, HttpHandler& handler,
      std::shared_ptr<IngestionMetrics> metrics, Logger logger,
      std::shared_ptr<DescriptorBudget> descriptors = nullptr);
  virtual ~HttpServer() = default;  // stops
  virtual const std::string& address() const = 0;
  virtual absl::Status Start() = 0;
  // Takes no more connections, answers what it has: requests that have begun may end until `drain`
  // is over.
  virtual void Stop() = 0;
};

}  // namespace yagura::ingestion
