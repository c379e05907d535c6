#include "services/store/http_server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "fmt/format.h"

#include "common/status/status.h"
#include "services/store/http_connection.h"

namespace yagura::storeserver {
namespace {

constexpr timeval kIoTimeout{300, 0};

Status CannotListen(const std::filesystem::path& socket) {
  return Unavailable("STORE_SOCKET",
                     fmt::format("cannot listen on {}: {}", socket.string(), std::strerror(errno)));
}

}  // namespace

HttpServer::HttpServer(Options options, Handler handler, Logger logger, int listener, int wake)
    : options_(std::move(options)),
      handler_(std::move(handler)),
      logger_(std::move(logger)),
      listener_(listener),
      wake_(wake) {
  acceptor_ = std::thread([this] { AcceptLoop(); });
}

StatusOr<std::unique_ptr<HttpServer>> HttpServer::Listen(const Options& options, Handler handler,
                                                         Logger logger) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = options.socket.string();
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        fmt::format("the socket's path must have 1 to {} bytes", sizeof(address.sun_path) - 1));
  }
  path.copy(address.sun_path, path.size());
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) return CannotListen(options.socket);
  unlink(path.c_str());
  const mode_t old_mask = umask(0177);
  const int bound = bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address));
  umask(old_mask);
  if (bound != 0 || listen(listener, 128) != 0) {
    const Status status = CannotListen(options.socket);
    close(listener);
    return status;
  }
  const int wake = eventfd(0, EFD_CLOEXEC);
  return std::unique_ptr<HttpServer>(
      new HttpServer(options, std::move(handler), std::move(logger), listener, wake));
}

HttpServer::~HttpServer() {
  Stop(std::chrono::milliseconds(0));
  close(listener_);
  close(wake_);
}

void HttpServer::AcceptLoop() {
  for (;;) {
    pollfd watched[2] = {{listener_, POLLIN, 0}, {wake_, POLLIN, 0}};
    if (poll(watched, 2, -1) < 0 && errno != EINTR) return;
    if (watched[1].revents != 0) return;
    if (watched[0].revents == 0) continue;
    const int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) continue;
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &kIoTimeout, sizeof(kIoTimeout));
    setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &kIoTimeout, sizeof(kIoTimeout));
    const std::lock_guard lock(mutex_);
    if (connections_.size() >= options_.max_connections) {
      HttpConnection(connection).Responder()->Send(503, {{"Connection", "close"}}, "Too busy.\n");
      close(connection);
      continue;
    }
    connections_.insert(connection);
    std::thread([this, connection] { Serve(connection); }).detach();
  }
}

void HttpServer::Serve(int connection) {
  HttpConnection http(connection);
  for (;;) {
    const auto request = http.ReadRequest();
    if (!request.ok()) {
      http.Responder()->Send(400, {{"Connection", "close"}},
                             fmt::format("{}\n", Message(request.status())));
      break;
    }
    if (*request == nullptr) break;
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) break;
      busy_.insert(connection);
    }
    handler_(**request, *http.Responder());
    {
      const std::lock_guard lock(mutex_);
      busy_.erase(connection);
      idle_.notify_all();
      if (stopping_) break;
    }
    if (!http.reusable()) break;
  }
  const std::lock_guard lock(mutex_);
  close(connection);
  busy_.erase(connection);
  connections_.erase(connection);
  idle_.notify_all();
}

void HttpServer::Stop(std::chrono::milliseconds grace) {
  std::unique_lock lock(mutex_);
  if (!stopping_) {
    stopping_ = true;
    const uint64_t one = 1;
    if (write(wake_, &one, sizeof(one)) < 0) logger_.Warning("cannot wake the acceptor");
    lock.unlock();
    acceptor_.join();
    unlink(options_.socket.c_str());
    lock.lock();
  }
  // Idle connections only wait for their next request.
  for (const int connection : connections_) {
    if (!busy_.contains(connection)) shutdown(connection, SHUT_RDWR);
  }
  idle_.wait_for(lock, grace, [this] { return busy_.empty(); });
  for (const int connection : connections_) shutdown(connection, SHUT_RDWR);
  idle_.wait(lock, [this] { return connections_.empty(); });
}

}  // namespace yagura::storeserver
