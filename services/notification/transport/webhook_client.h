#pragma once

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "services/notification/domain/delivery.h"

namespace yagura::notification {

struct WebhookOptions {
  std::string ca_file;  // PEM; empty: the system's
  std::string proxy;    // "http://host:port"; empty: none
  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds timeout{30'000};  // of a whole attempt
};

struct WebhookRequest {
  std::string url;                                           // as IsWebhookUrl accepts it
  std::vector<std::pair<std::string, std::string>> headers;  // printable ASCII
  std::string body;
};

// One POST over a connection of its own; redirections are not followed. AMBIGUOUS where all of the
// request was sent and no answer came. Thread-safe.
class WebhookClient {
 public:
  virtual ~WebhookClient() = default;
  virtual Outcome Post(const WebhookRequest& request, const std::stop_token& stop) = 0;
};

std::unique_ptr<WebhookClient> NewWebhookClient(WebhookOptions options);

}  // namespace yagura::notification
