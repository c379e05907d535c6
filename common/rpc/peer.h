#pragma once

#include <string>
#include <string_view>

// Whom a call comes from, out of what gRPC calls the peer: "ipv4:192.0.2.1:50000",
// "ipv6:%5B2001:db8::1%5D:50000", "unix:/path".
namespace yagura::rpc {

// The peer without its port: "ipv4:192.0.2.1", "ipv6:[2001:db8::1]". An IPv4 address that is mapped
// into IPv6 is the IPv4 address. At most 64 bytes; what is neither is cut to that.
std::string PeerAddress(std::string_view peer);

// By what calls are counted where nobody has said who they are: an IPv4 address, or the /64 of an
// IPv6 address ("ipv6:2001:db8::/64"), since whoever has one address of a /64 has them all.
std::string PeerNetwork(std::string_view peer);

}  // namespace yagura::rpc
