#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/rpc/app.h"

namespace yagura::rpc {

struct ServerOptions {
  std::string address = "127.0.0.1:7070";  // port 0 takes a free one; "unix:/path" too
  std::string health_address;              // a second port with Health alone; empty: none
  std::string tls_certificate_file;        // empty: no TLS
  std::string tls_key_file;
  std::string tls_client_ca_file;  // set: client certificates are required (mTLS)
  bool reflection = false;
  int threads_per_app = 4;      // of each App's own executor
  int streams_per_app = 8;      // server streams that run at once, per App
  size_t queue_per_app = 1024;  // waiting calls; more answer RESOURCE_EXHAUSTED
  size_t max_receive_bytes = 16u << 20;
  size_t max_send_bytes = 16u << 20;
  double calls_per_second_per_tenant = 500;  // quota; bursts of twice as many
  double bytes_per_second_per_tenant = 256e6;
  double bad_tokens_per_second = 20;  // as Authenticator::Options
  double bad_tokens_burst = 40;
  std::function<bool()> find_new_keys;                 // as Authenticator::Options; not a setting
  std::chrono::milliseconds default_deadline{30'000};  // for callers that set none
  std::chrono::milliseconds drain{5'000};              // what calls in progress get at a stop
  // Between health NOT_SERVING and the refusal of new calls, for load balancers to notice.
  std::chrono::milliseconds endpoint_removal{0};
  size_t outbox_messages = 256;  // of one stream; one message always fits
  size_t outbox_bytes = 8u << 20;
  // How long PushWhenRoom waits for a reader that takes nothing: meanwhile it holds a thread.
  std::chrono::milliseconds reader_patience{30'000};
  // How long a slow reader has to take the reason for which its stream ended.
  std::chrono::milliseconds slow_reader_grace{5'000};
  std::chrono::milliseconds max_connection_age{0};  // spreads clients over replicas; 0: no limit
};

// One gRPC server for one or many Apps.
//
// Health (grpc.health.v1, without a principal): "" is SERVING while calls are taken, "<service>"
// while all of its parts are well, "<service>/<part>" each part. Stop order: health NOT_SERVING, no
// new calls, calls in progress finish or are cancelled after `drain`, executors drain, Apps stop in
// reverse order.
class Server {
 public:
  // Registers and starts the Apps in order, then serves. FAILED_PRECONDITION naming every method
  // that lacks a handler or a permission.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       const Platform& platform,
                                                       std::vector<std::unique_ptr<App>> apps);
  virtual ~Server() = default;
  virtual int port() const = 0;
  virtual int health_port() const = 0;
  virtual const std::vector<std::unique_ptr<App>>& apps() const = 0;
  virtual void Stop() = 0;  // idempotent
};

}  // namespace yagura::rpc
