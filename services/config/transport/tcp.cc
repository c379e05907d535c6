#include "services/config/transport/tcp.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "fmt/format.h"

#include "common/status/status.h"

namespace yagura::config {
namespace {

// How long a wait may go on before it looks whether it was stopped.
constexpr std::chrono::milliseconds kLookUp{50};

Status Unreachable(const std::string& address, int port, std::string_view why) {
  return Unavailable("DEVICE_UNREACHABLE", fmt::format("{} port {}: {}", address, port, why));
}

Status WaitConnected(int fd, const std::string& address, int port, const Patience& patience) {
  while (true) {
    if (patience.stop.stop_requested()) {
      return MakeError(absl::StatusCode::kCancelled, "CANCELLED", "stopped while connecting");
    }
    const auto left = patience.Left();
    if (left.count() == 0) {
      return MakeError(absl::StatusCode::kDeadlineExceeded, "DEVICE_TIMEOUT",
                       fmt::format("{} port {} does not answer", address, port));
    }
    pollfd waiting{fd, POLLOUT, 0};
    const int ready = poll(&waiting, 1, static_cast<int>(std::min(left, kLookUp).count()));
    if (ready < 0 && errno != EINTR) return Unreachable(address, port, strerror(errno));
    if (ready <= 0) continue;
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return Unreachable(address, port, strerror(error));
    return absl::OkStatus();
  }
}

void SetOptions(int fd, std::chrono::milliseconds dead_after) {
  const int on = 1;
  const auto milliseconds = static_cast<unsigned>(dead_after.count());
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof(milliseconds));
}

StatusOr<int> TryOne(const addrinfo& where, const std::string& address, int port,
                     const Patience& patience, std::chrono::milliseconds dead_after) {
  const int fd =
      socket(where.ai_family, where.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, where.ai_protocol);
  if (fd < 0) return Unreachable(address, port, strerror(errno));
  SetOptions(fd, dead_after);
  Status status;
  if (connect(fd, where.ai_addr, where.ai_addrlen) != 0) {
    status = errno == EINPROGRESS ? WaitConnected(fd, address, port, patience)
                                  : Unreachable(address, port, strerror(errno));
  }
  if (!status.ok()) {
    close(fd);
    return status;
  }
  return fd;
}

}  // namespace

StatusOr<int> OpenTcp(const std::string& address, int port, const Patience& patience,
                      std::chrono::milliseconds dead_after) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int code = getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (code != 0) return Unreachable(address, port, gai_strerror(code));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  StatusOr<int> last = Unreachable(address, port, "no address");
  for (const addrinfo* where = found; where != nullptr; where = where->ai_next) {
    last = TryOne(*where, address, port, patience, dead_after);
    if (last.ok() || !absl::IsUnavailable(last.status())) return last;
  }
  return last;
}

}  // namespace yagura::config
