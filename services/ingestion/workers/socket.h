#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/event/event_view.h"

struct sockaddr_storage;

namespace yagura::ingestion {

// A file descriptor, closed with the object.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(other.Release()) {}
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();
  int fd() const { return fd_; }
  int Release();

 private:
  int fd_ = -1;
};

// Binds to "127.0.0.1:5514", "[::]:5514" or "*:5514" (all addresses, both families), with
// SO_REUSEPORT so that several threads may each have one. `type`: SOCK_STREAM (listening then) or
// SOCK_DGRAM. INVALID_ARGUMENT for a bad address, UNAVAILABLE where it cannot be bound.
absl::StatusOr<Socket> Bind(std::string_view address, int type);
// UNAVAILABLE where another process has the place already: with SO_REUSEPORT the kernel would give
// each of the two a share of the lines.
absl::Status CheckFree(std::string_view address, int type);
// "127.0.0.1:5514", with the port that was really taken.
std::string BoundAddress(const Socket& socket);
// The address of a peer; an IPv4 address that came through an IPv6 socket is an IPv4 address.
event::IpAddress AddressOf(const sockaddr_storage& peer);

}  // namespace yagura::ingestion
