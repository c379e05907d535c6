#include "cli/send/syslog_sender.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "fmt/format.h"

#include "common/status/status.h"

namespace yagura::cli {
namespace {

constexpr size_t kBufferBytes = 64 * 1024;
constexpr int kCloseTimeoutMs = 30'000;

absl::Status ErrnoStatus(std::string_view what) {
  return Unavailable("SYSLOG_UNREACHABLE", fmt::format("{}: {}", what, strerror(errno)));
}

}  // namespace

absl::StatusOr<SyslogSender> SyslogSender::Connect(const std::string& address, Transport transport,
                                                   const TlsClientOptions& tls) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return InvalidField("address", "is not HOST:PORT");
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = transport == Transport::kUdp ? SOCK_DGRAM : SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &found);
      error != 0) {
    return InvalidField("address", fmt::format("{}: {}", address, gai_strerror(error)));
  }
  absl::Status status = Unavailable("SYSLOG_UNREACHABLE", address);
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    const int fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
    if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) == 0) {
      freeaddrinfo(found);
      SyslogSender sender(fd, transport);
      if (transport == Transport::kTls) {
        YAGURA_ASSIGN_OR_RETURN(sender.tls_, TlsClient::Connect(fd, host, tls));
      }
      return sender;
    }
    status = ErrnoStatus(address);
    if (fd >= 0) close(fd);
  }
  freeaddrinfo(found);
  return status;
}

SyslogSender::SyslogSender(SyslogSender&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)),
      transport_(other.transport_),
      tls_(std::move(other.tls_)),
      buffer_(std::move(other.buffer_)) {}

SyslogSender::~SyslogSender() {
  if (socket_ >= 0) close(socket_);
}

absl::Status SyslogSender::Send(std::string_view line) {
  if (transport_ != Transport::kUdp) {
    buffer_ += line;
    buffer_ += '\n';
    return buffer_.size() < kBufferBytes ? absl::OkStatus() : Flush();
  }
  while (send(socket_, line.data(), line.size(), MSG_NOSIGNAL) < 0) {
    if (errno == EMSGSIZE) {
      return MakeError(absl::StatusCode::kOutOfRange, "LINE_TOO_LONG",
                       fmt::format("{} bytes do not fit into a datagram", line.size()));
    }
    if (errno != EINTR && errno != ENOBUFS) return ErrnoStatus("send");
  }
  return absl::OkStatus();
}

absl::Status SyslogSender::Flush() {
  if (tls_ != nullptr) {
    YAGURA_RETURN_IF_ERROR(tls_->Write(buffer_));
    buffer_.clear();
    return absl::OkStatus();
  }
  for (std::string_view rest = buffer_; !rest.empty();) {
    const ssize_t sent = send(socket_, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return ErrnoStatus("send");
    rest.remove_prefix(static_cast<size_t>(sent));
  }
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status SyslogSender::Finish() {
  if (transport_ == Transport::kUdp) return absl::OkStatus();
  YAGURA_RETURN_IF_ERROR(Flush());
  if (tls_ != nullptr) YAGURA_RETURN_IF_ERROR(tls_->EndWriting());
  shutdown(socket_, SHUT_WR);
  pollfd wait{.fd = socket_, .events = POLLIN, .revents = 0};
  char byte = 0;
  while (poll(&wait, 1, kCloseTimeoutMs) == 1) {
    if (tls_ != nullptr) return tls_->AwaitEnd();
    if (recv(socket_, &byte, 1, 0) <= 0) return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kDeadlineExceeded, "SYSLOG_NOT_CLOSED",
                   "the receiver has not closed the connection in time: it may not have read all");
}

}  // namespace yagura::cli
