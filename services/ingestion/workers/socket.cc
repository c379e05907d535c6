#include "services/ingestion/workers/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::ingestion {
namespace {

constexpr int kBacklog = 1024;

struct Place {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

StatusOr<Place> ParsePlace(std::string_view text) {
  const size_t colon = text.rfind(':');
  const auto port = ParseNumber<uint16_t>(colon == text.npos ? "" : text.substr(colon + 1));
  if (!port) return InvalidField("address", fmt::format("\"{}\" is not address:port", text));
  const std::string_view host = text.substr(0, colon);
  const auto address = event::IpAddress::Parse(host == "*" ? "::" : host);
  if (!address) {
    return InvalidField("address", fmt::format("\"{}\" is not an address of this host", host));
  }
  Place place;
  if (address->bytes().size() == 4) {
    auto* four = reinterpret_cast<sockaddr_in*>(&place.storage);
    four->sin_family = AF_INET;
    four->sin_port = htons(*port);
    std::memcpy(&four->sin_addr, address->bytes().data(), 4);
    place.size = sizeof *four;
  } else {
    auto* six = reinterpret_cast<sockaddr_in6*>(&place.storage);
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(*port);
    std::memcpy(&six->sin6_addr, address->bytes().data(), 16);
    place.size = sizeof *six;
  }
  return place;
}

Status SocketError(std::string_view what, std::string_view address) {
  return Unavailable("LISTEN_FAILED",
                     fmt::format("cannot {} {}: {}", what, address, std::strerror(errno)));
}

}  // namespace

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.Release();
  }
  return *this;
}

Socket::~Socket() {
  if (fd_ >= 0) ::close(fd_);
}

int Socket::Release() { return std::exchange(fd_, -1); }

StatusOr<Socket> Bind(std::string_view address, int type) {
  YAGURA_ASSIGN_OR_RETURN(const Place place, ParsePlace(address));
  Socket socket(::socket(place.storage.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.fd() < 0) return SocketError("make a socket for", address);
  const int on = 1;
  const int off = 0;
  ::setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ::setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (place.storage.ss_family == AF_INET6) {
    ::setsockopt(socket.fd(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  }
  if (::bind(socket.fd(), reinterpret_cast<const sockaddr*>(&place.storage), place.size) != 0) {
    return SocketError("bind", address);
  }
  if (type == SOCK_STREAM && ::listen(socket.fd(), kBacklog) != 0) {
    return SocketError("listen on", address);
  }
  return socket;
}

Status CheckFree(std::string_view address, int type) {
  YAGURA_ASSIGN_OR_RETURN(const Place place, ParsePlace(address));
  const Socket probe(::socket(place.storage.ss_family, type | SOCK_CLOEXEC, 0));
  if (probe.fd() < 0) return SocketError("make a socket for", address);
  const int on = 1;
  const int off = 0;
  // Connections of a listener that has ended must not hold up its successor.
  if (type == SOCK_STREAM) {
    ::setsockopt(probe.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  }
  if (place.storage.ss_family == AF_INET6) {
    ::setsockopt(probe.fd(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  }
  if (::bind(probe.fd(), reinterpret_cast<const sockaddr*>(&place.storage), place.size) != 0) {
    return SocketError("bind", address);
  }
  return absl::OkStatus();
}

std::string BoundAddress(const Socket& socket) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&storage), &size) != 0) return {};
  char host[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_INET) {
    const auto* four = reinterpret_cast<const sockaddr_in*>(&storage);
    ::inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
    return fmt::format("{}:{}", host, ntohs(four->sin_port));
  }
  const auto* six = reinterpret_cast<const sockaddr_in6*>(&storage);
  ::inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
  return fmt::format("[{}]:{}", host, ntohs(six->sin6_port));
}

event::IpAddress AddressOf(const sockaddr_storage& peer) {
  if (peer.ss_family == AF_INET) {
    const auto* four = reinterpret_cast<const sockaddr_in*>(&peer);
    return event::IpAddress::FromBytes({reinterpret_cast<const char*>(&four->sin_addr), 4});
  }
  if (peer.ss_family != AF_INET6) return {};
  const auto* six = reinterpret_cast<const sockaddr_in6*>(&peer);
  const std::string_view bytes(reinterpret_cast<const char*>(&six->sin6_addr), 16);
  return event::IpAddress::FromBytes(IN6_IS_ADDR_V4MAPPED(&six->sin6_addr) ? bytes.substr(12)
                                                                           : bytes);
}

}  // namespace yagura::ingestion
