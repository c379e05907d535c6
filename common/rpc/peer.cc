#include "common/rpc/peer.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <optional>

#include "fmt/format.h"

#include "common/text/text.h"

namespace yagura::rpc {
namespace {

constexpr size_t kMaxText = 64;
constexpr size_t kNetworkBytes = 8;  // of a /64

using Ipv6 = std::array<unsigned char, 16>;

// gRPC writes brackets and the sign before a zone as in a URI.
std::string PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = text[i] == '%' ? HexDecode(text.substr(i + 1, 2)) : std::nullopt;
    const bool escaped = byte && byte->size() == 1;
    out += escaped ? byte->front() : text[i];
    if (escaped) i += 2;
  }
  return out;
}

// The address in "[2001:db8::1]", "2001:db8::1" or "[fe80::1%eth0]".
std::optional<Ipv6> ParseIpv6(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  const std::string address(text.substr(0, text.find('%')));
  Ipv6 bytes{};
  if (inet_pton(AF_INET6, address.c_str(), bytes.data()) != 1) return std::nullopt;
  return bytes;
}

std::optional<std::string> MappedIpv4(const Ipv6& bytes) {
  constexpr std::array<unsigned char, 12> kPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (!std::equal(kPrefix.begin(), kPrefix.end(), bytes.begin())) return std::nullopt;
  return fmt::format("ipv4:{}.{}.{}.{}", bytes[12], bytes[13], bytes[14], bytes[15]);
}

std::string Format(const Ipv6& bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(AF_INET6, bytes.data(), text.data(), text.size());
  return text.data();
}

struct Peer {
  std::string text;          // without the port
  std::optional<Ipv6> ipv6;  // where it is one, and not mapped from IPv4
};

Peer Parse(std::string_view raw) {
  const std::string decoded = PercentDecode(raw.substr(0, 2 * kMaxText));
  std::string_view peer = decoded;
  const bool has_port = peer.starts_with("ipv4:") || peer.starts_with("ipv6:");
  if (has_port) peer = peer.substr(0, std::max<size_t>(peer.rfind(':'), 5));
  if (peer.starts_with("ipv6:")) {
    if (const auto bytes = ParseIpv6(peer.substr(5))) {
      if (auto mapped = MappedIpv4(*bytes)) return {.text = *std::move(mapped), .ipv6 = {}};
      return {.text = fmt::format("ipv6:[{}]", Format(*bytes)), .ipv6 = bytes};
    }
  }
  return {.text = std::string(peer.substr(0, kMaxText)), .ipv6 = {}};
}

}  // namespace

std::string PeerAddress(std::string_view peer) { return Parse(peer).text; }

std::string PeerNetwork(std::string_view peer) {
  Peer parsed = Parse(peer);
  if (!parsed.ipv6) return std::move(parsed.text);
  std::fill(parsed.ipv6->begin() + kNetworkBytes, parsed.ipv6->end(), 0);
  return fmt::format("ipv6:{}/64", Format(*parsed.ipv6));
}

}  // namespace yagura::rpc
