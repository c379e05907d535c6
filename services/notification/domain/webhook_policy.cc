#include "services/notification/domain/webhook_policy.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cctype>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::notification {
namespace {

// IANA's special-purpose registries, and multicast. Of IPv6 only 2000::/3 is given out.
constexpr const char* kRefused[] = {
    "0.0.0.0/8",     "10.0.0.0/8",      "100.64.0.0/10",  "127.0.0.0/8",    "169.254.0.0/16",
    "172.16.0.0/12", "192.0.0.0/24",    "192.0.2.0/24",   "192.88.99.0/24", "192.168.0.0/16",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",    "::/3",
    "2001::/23",     "2001:db8::/32",   "2002::/16",      "3fff::/20",      "4000::/2",
    "8000::/1"};

// ::ffff:192.0.2.1 is 192.0.2.1.
constexpr std::string_view kMapped("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);

std::string HostText(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  std::string text(host);
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool IsHostName(std::string_view host) {
  return !host.empty() && host.size() <= 253 && std::ranges::all_of(host, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_';
  });
}

}  // namespace

WebhookPolicy::WebhookPolicy() {
  for (const char* text : kRefused) {
    Network network;
    if (Parse(text, network)) refused_.push_back(std::move(network));
  }
}

absl::StatusOr<WebhookPolicy> WebhookPolicy::Make(const std::vector<std::string>& networks,
                                                  const std::vector<std::string>& hosts) {
  WebhookPolicy policy;
  for (const std::string& text : networks) {
    Network network;
    if (!Parse(text, network)) {
      return InvalidField("webhook.allowed_networks", fmt::format("\"{}\" is no network", text));
    }
    policy.allowed_.push_back(std::move(network));
  }
  for (const std::string& text : hosts) {
    const std::string host = HostText(text);
    if (!IsHostName(host)) {
      return InvalidField("webhook.allowed_hosts", fmt::format("\"{}\" is no host name", text));
    }
    policy.hosts_.insert(host);
  }
  return policy;
}

bool WebhookPolicy::AllowsHost(std::string_view host) const {
  return hosts_.contains(HostText(host));
}

bool WebhookPolicy::AllowsAddress(std::string_view address) const {
  if (address.size() == 16 && address.starts_with(kMapped)) address.remove_prefix(kMapped.size());
  if (address.size() != 4 && address.size() != 16) return false;
  return Holds(allowed_, address) || !Holds(refused_, address);
}

bool WebhookPolicy::Parse(std::string_view text, Network& network) {
  const size_t slash = text.find('/');
  const std::string address(text.substr(0, slash));
  const bool six = address.find(':') != std::string::npos;
  network.prefix.resize(six ? 16 : 4);
  if (inet_pton(six ? AF_INET6 : AF_INET, address.c_str(), network.prefix.data()) != 1) {
    return false;
  }
  const int most = six ? 128 : 32;
  const auto bits = slash == std::string_view::npos
                        ? most
                        : ParseNumber<int>(text.substr(slash + 1)).value_or(-1);
  network.bits = bits;
  return bits >= 0 && bits <= most;
}

bool WebhookPolicy::Holds(const std::vector<Network>& networks, std::string_view address) {
  return std::ranges::any_of(networks, [address](const Network& network) {
    if (network.prefix.size() != address.size()) return false;
    const auto bytes = static_cast<size_t>(network.bits / 8);
    if (address.substr(0, bytes) != std::string_view(network.prefix).substr(0, bytes)) return false;
    const int rest = network.bits % 8;
    if (rest == 0) return true;
    const int differing = static_cast<unsigned char>(address[bytes]) ^
                          static_cast<unsigned char>(network.prefix[bytes]);
    return (differing >> (8 - rest)) == 0;
  });
}

}  // namespace yagura::notification
