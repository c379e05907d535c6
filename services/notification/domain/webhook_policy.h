#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace yagura::notification {

// Which receivers a webhook may reach. Customers write the URLs and the provider's network sends
// them, so that by itself only public addresses are allowed: no loopback, link-local (where clouds
// keep their metadata), private, shared, multicast or reserved ones, nor IPv6 addresses that carry
// an IPv4 address inside. Immutable.
class WebhookPolicy {
 public:
  // `networks` ("10.1.0.0/16", "fd00::/8", or one address) and `hosts` (whatever their addresses)
  // are allowed besides. INVALID_ARGUMENT naming what is no network or host name.
  static absl::StatusOr<WebhookPolicy> Make(const std::vector<std::string>& networks,
                                            const std::vector<std::string>& hosts);
  WebhookPolicy();  // public addresses alone

  // `host` as in a URL, with or without a dot at the end.
  bool AllowsHost(std::string_view host) const;
  // 4 or 16 bytes in network order.
  bool AllowsAddress(std::string_view address) const;

 private:
  struct Network {
    std::string prefix;  // 4 or 16 bytes
    int bits;
  };
  static bool Parse(std::string_view text, Network& network);
  static bool Holds(const std::vector<Network>& networks, std::string_view address);

  std::vector<Network> refused_;
  std::vector<Network> allowed_;
  std::set<std::string> hosts_;
};

}  // namespace yagura::notification
