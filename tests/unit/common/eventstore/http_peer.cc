#include "http_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "fmt/format.h"

namespace yagura::eventstore {
namespace {

constexpr int kLook = 20;  // milliseconds

}  // namespace

std::string HttpPeer::Connection::Read(size_t bytes) {
  while (rest_.size() < bytes) {
    std::array<char, 4096> buffer{};
    const ssize_t got = recv(fd_, buffer.data(), buffer.size(), 0);
    if (got <= 0) break;
    rest_.append(buffer.data(), static_cast<size_t>(got));
  }
  return std::exchange(rest_, {});
}

void HttpPeer::Connection::Write(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

void HttpPeer::Connection::Answer(int status, std::string_view headers,
                                  std::string_view body) const {
  Write(fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\nConnection: close\r\n{}\r\n{}", status,
                    body.size(), headers, body));
}

void HttpPeer::Connection::Refuse(int code, std::string_view text) const {
  Answer(500, fmt::format("X-ClickHouse-Exception-Code: {}\r\n", code),
         fmt::format("Code: {}. DB::Exception: {}", code, text));
}

void HttpPeer::Connection::FallSilent(const std::atomic<bool>& stopping,
                                      std::chrono::steady_clock::time_point until) const {
  while (!stopping) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return;
    pollfd waits{fd_, POLLRDHUP, 0};
    if (poll(&waits, 1, static_cast<int>(std::min<int64_t>(kLook, left.count()))) > 0) return;
  }
}

HttpPeer::HttpPeer(Handler handler) : handler_(std::move(handler)) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener_, 64) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::abort();
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

HttpPeer::~HttpPeer() {
  stopping_ = true;
  acceptor_.join();
  for (std::thread& connection : connections_) connection.join();
  close(listener_);
}

std::string HttpPeer::address() const { return fmt::format("http://127.0.0.1:{}", port_); }

std::string HttpPeer::heads() const {
  const std::lock_guard lock(mutex_);
  return heads_;
}

void HttpPeer::Accept() {
  while (!stopping_) {
    pollfd waits{listener_, POLLIN, 0};
    if (poll(&waits, 1, kLook) <= 0) continue;
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) connections_.emplace_back([this, fd] { Serve(fd); });
  }
}

void HttpPeer::Serve(int fd) {
  const timeval patience{5, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  std::string head;
  size_t end = std::string::npos;
  while ((end = head.find("\r\n\r\n")) == std::string::npos) {
    std::array<char, 4096> buffer{};
    const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
    if (got <= 0) break;
    head.append(buffer.data(), static_cast<size_t>(got));
  }
  if (end != std::string::npos) {
    Connection connection(fd, head.substr(0, end), head.substr(end + 4));
    if (!connection.IsPing()) ++requests_;
    {
      const std::lock_guard lock(mutex_);
      heads_ += connection.head();
    }
    handler_(connection, stopping_);
  }
  close(fd);
}

}  // namespace yagura::eventstore
