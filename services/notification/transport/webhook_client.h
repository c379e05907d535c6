#pragma once

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

#include "services/notification/domain/delivery.h"
#include "services/notification/domain/webhook_policy.h"

namespace yagura::notification {

struct WebhookOptions {
  std::string ca_file;  // PEM; empty: the system's
  std::string proxy;    // "http://host:port"; empty: none
  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds timeout{30'000};  // of a whole attempt
  WebhookPolicy policy;
};

struct WebhookRequest {
  std::string url;                                           // as IsWebhookUrl accepts it
  std::vector<std::pair<std::string, std::string>> headers;  // printable ASCII
  std::string body;
};

// One POST over a connection of its own; redirections are not followed. AMBIGUOUS where all of the
// request was sent and no answer came. PERMANENT_FAILURE where the policy allows none of the
// addresses that the host has: they are looked at one by one as they are connected to, so that a
// name that resolves otherwise the next time gets nobody in. Through a proxy it is the proxy that
// resolves: what the name means here is looked at before, and the rest is the proxy's. What a name
// means here is told in `inner_detail` alone: the customer has no use for our DNS. Thread-safe.
class WebhookClient {
 public:
  virtual ~WebhookClient() = default;
  virtual Outcome Post(const WebhookRequest& request, const std::stop_token& stop) = 0;
  // FAILED_PRECONDITION (WEBHOOK_REFUSED) where the URL's host is an address that the policy does
  // not allow. Names are not resolved, so that nobody waits for a name server of the customer's
  // choice: each attempt looks at what they mean.
  virtual absl::Status Check(const std::string& url) const = 0;
};

std::unique_ptr<WebhookClient> NewWebhookClient(WebhookOptions options);

}  // namespace yagura::notification
