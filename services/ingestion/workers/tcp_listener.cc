#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fmt/format.h"

#include "common/status/status.h"
#include "services/ingestion/domain/framing.h"
#include "services/ingestion/ingestion_metrics.h"
#include "services/ingestion/storage/batch_sink.h"
#include "services/ingestion/workers/current_sources.h"
#include "services/ingestion/workers/listener.h"
#include "services/ingestion/workers/socket.h"

namespace yagura::ingestion {
namespace {

constexpr size_t kReadBytes = 256 * 1024;
constexpr auto kPause = std::chrono::milliseconds(50);  // while nothing flows
constexpr auto kFinalReads = std::chrono::milliseconds(200);

struct Connection {
  Connection(Socket socket_in, Sender sender)
      : socket(std::move(socket_in)), state(std::move(sender)) {}
  Socket socket;
  Framer framer;
  SenderState state;
  SteadyTime last_read{};
  size_t held = 0;  // of the framer, as it is counted in the sum
};

// One thread: its own listening socket, its connections, its batches. Reads nothing while the event
// streams take nothing, so that senders wait in TCP's own way.
class TcpThread {
 public:
  TcpThread(const ListenerOptions& options, const ListenerParts& parts, Socket listening,
            int number)
      : options_(options),
        parts_(parts),
        max_held_(options.max_pending_bytes / static_cast<uint64_t>(std::max(options.threads, 1))),
        intake_(
            [&] {
              Intake::Options intake = parts.intake;
              intake.instance = fmt::format("{}/{}/{}", parts.instance, options.name, number);
              return intake;
            }(),
            parts.quarantine),
        listening_(std::move(listening)),
        epoll_(::epoll_create1(EPOLL_CLOEXEC)),
        wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
        buffer_(kReadBytes, '\0') {
    Watch(listening_.fd());
    Watch(wake_.fd());
  }

  void Wake() {
    const uint64_t one = 1;
    if (::write(wake_.fd(), &one, sizeof one) < 0) return;  // it is awake already
  }

  void Run(const std::stop_token& stop) {
    sources_ = parts_.sources->WaitFor(std::chrono::milliseconds(0));
    const SteadyTime begin = parts_.clock->SteadyNow();
    while (!stop.stop_requested() && sources_ == nullptr) {
      sources_ = parts_.sources->WaitFor(kPause);
      if (parts_.clock->SteadyNow() - begin > options_.sources_wait) break;
    }
    if (sources_ == nullptr) sources_ = SourceMap::Empty();
    while (!stop.stop_requested()) {
      if (auto fresh = parts_.sources->Get()) sources_ = std::move(fresh);
      if (!HandOn(false)) {
        parts_.sink->WaitFlowing(kPause);
        reading_since_ = parts_.clock->SteadyNow();  // who could not send was not idle
        continue;
      }
      Poll(Timeout());
      CloseHoarders();
      CloseIdle();
    }
    Finish();
  }

 private:
  void Watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLRDHUP;
    event.data.fd = fd;
    ::epoll_ctl(epoll_.fd(), EPOLL_CTL_ADD, fd, &event);
  }

  int Timeout() const {
    const auto due = intake_.NextDue();
    if (!due) return 100;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(*due - parts_.clock->SteadyNow());
    return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 100));
  }

  // Hands batches to the sink. False: wait, nothing more may be read now.
  bool HandOn(bool all) {
    auto ready = all ? intake_.TakeAll() : intake_.TakeReady(parts_.clock->SteadyNow());
    for (ReadyBatch& batch : ready) {
      parts_.metrics->CountReceived(batch);
      waiting_.push_back(std::move(batch));
    }
    parts_.sink->Deliver(waiting_);
    return waiting_.empty() && parts_.sink->flowing();
  }

  void Poll(int timeout) {
    std::array<epoll_event, 64> events;
    const int count =
        ::epoll_wait(epoll_.fd(), events.data(), static_cast<int>(events.size()), timeout);
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == listening_.fd()) {
        Accept();
      } else if (const auto found = connections_.find(fd); found != connections_.end()) {
        if (!Read(*found->second)) Close(found->first);
        CloseHoarders();
      }
      // A round may bring many full batches: no more than the sink takes.
      if (intake_.has_ready() && !HandOn(false)) return;
    }
  }

  void Accept() {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    Socket socket(::accept4(listening_.fd(), reinterpret_cast<sockaddr*>(&peer), &size,
                            SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.fd() < 0) return;
    if (connections_.size() >= options_.max_connections) {
      parts_.metrics->CountConnectionsCut(options_.name, "limit");
      parts_.logger.Warning("too many connections; one was refused",
                            {{"listener", options_.name}, {"peer", AddressOf(peer).ToString()}});
      return;
    }
    const int on = 1;
    ::setsockopt(socket.fd(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    const int fd = socket.fd();
    auto& connection = connections_[fd];
    connection =
        std::make_unique<Connection>(std::move(socket), Sender{options_.name, AddressOf(peer), {}});
    connection->last_read = parts_.clock->SteadyNow();
    parts_.metrics->CountConnections(options_.name, +1);
    Watch(fd);
  }

  // False: the connection has ended.
  bool Read(Connection& connection) {
    const ssize_t got = ::recv(connection.socket.fd(), buffer_.data(), buffer_.size(), 0);
    if (got < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    if (got == 0) return false;
    connection.last_read = parts_.clock->SteadyNow();
    connection.framer.Feed({buffer_.data(), static_cast<size_t>(got)}, Sink(connection));
    CountHeld(connection, connection.framer.held_bytes());
    return true;
  }

  void CountHeld(Connection& connection, size_t now) {
    held_ += now;
    held_ -= std::exchange(connection.held, now);
  }

  // Whoever holds most goes first: those who send whole lines hold next to nothing. What other
  // threads hold is not looked at: their hoarders are not to be paid for here.
  void CloseHoarders() {
    while (held_ > max_held_) {
      const auto most = std::max_element(
          connections_.begin(), connections_.end(),
          [](const auto& a, const auto& b) { return a.second->held < b.second->held; });
      if (most == connections_.end()) return;
      Cut(most->first, "memory");
    }
  }

  void CloseIdle() {
    if (options_.idle_timeout.count() == 0) return;
    const SteadyTime now = parts_.clock->SteadyNow();
    if (now < next_idle_check_) return;
    next_idle_check_ = now + options_.idle_timeout / 20;
    std::vector<int> idle;
    for (const auto& [fd, connection] : connections_) {
      const SteadyTime since = std::max(connection->last_read, reading_since_);
      if (now - since >= options_.idle_timeout) idle.push_back(fd);
    }
    for (const int fd : idle) Cut(fd, "idle");
  }

  void Cut(int fd, const char* reason) {
    parts_.metrics->CountConnectionsCut(options_.name, reason);
    parts_.logger.Info("a connection was closed", {{"listener", options_.name},
                                                   {"peer", connections_.at(fd)->state.origin},
                                                   {"reason", reason}});
    Close(fd);
  }

  Framer::Sink Sink(Connection& connection) {
    return [this, &connection, receive_time = parts_.clock->Now(), now = parts_.clock->SteadyNow()](
               std::string_view line, bool truncated) {
      intake_.Add(connection.state, sources_, line, truncated, receive_time, now);
    };
  }

  void Close(int fd) {
    const auto found = connections_.find(fd);
    found->second->framer.Finish(Sink(*found->second));
    CountHeld(*found->second, 0);
    connections_.erase(found);
    parts_.metrics->CountConnections(options_.name, -1);
  }

  // At a stop: what the kernel had taken from senders is read once more, so that a restart loses as
  // little as plain syslog over TCP allows.
  void Finish() {
    const SteadyTime until = parts_.clock->SteadyNow() + kFinalReads;
    bool more = parts_.sink->flowing();
    while (more && parts_.clock->SteadyNow() < until) {
      more = false;
      for (auto& [fd, connection] : connections_) {
        const ssize_t got = ::recv(fd, buffer_.data(), buffer_.size(), 0);
        if (got <= 0) continue;
        connection->framer.Feed({buffer_.data(), static_cast<size_t>(got)}, Sink(*connection));
        more = true;
      }
      HandOn(false);
    }
    while (!connections_.empty()) Close(connections_.begin()->first);
    HandOn(true);
    parts_.sink->Lose(waiting_);
  }

  const ListenerOptions& options_;
  const ListenerParts& parts_;
  const uint64_t max_held_;
  uint64_t held_ = 0;  // bytes of begun lines of all connections
  Intake intake_;
  Socket listening_;
  Socket epoll_;
  Socket wake_;
  std::shared_ptr<const SourceMap> sources_;
  std::unordered_map<int, std::unique_ptr<Connection>> connections_;
  SteadyTime reading_since_{};  // without a pause of ours
  SteadyTime next_idle_check_{};
  std::vector<ReadyBatch> waiting_;  // refused by streams and spool
  std::string buffer_;
};

class TcpListener final : public Listener {
 public:
  TcpListener(ListenerOptions options, ListenerParts parts, std::vector<Socket> sockets,
              std::string address)
      : options_(std::move(options)), parts_(std::move(parts)), address_(std::move(address)) {
    for (size_t i = 0; i < sockets.size(); ++i) {
      threads_.push_back(std::make_unique<TcpThread>(options_, parts_, std::move(sockets[i]),
                                                     static_cast<int>(i)));
    }
  }
  ~TcpListener() override { Stop(); }

  const std::string& address() const override { return address_; }

  void Start() override {
    for (const auto& thread : threads_) {
      running_.emplace_back([&thread](const std::stop_token& stop) { thread->Run(stop); });
    }
  }

  void Stop() override {
    for (size_t i = 0; i < running_.size(); ++i) {
      running_[i].request_stop();
      threads_[i]->Wake();
    }
    running_.clear();  // joins
  }

 private:
  const ListenerOptions options_;
  const ListenerParts parts_;
  const std::string address_;
  std::vector<std::unique_ptr<TcpThread>> threads_;
  std::vector<std::jthread> running_;
};

// How many files the process may have, after it has asked for all that it is allowed.
uint64_t FilesOfProcess() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return 1024;
  const rlimit all{files.rlim_max, files.rlim_max};
  if (::setrlimit(RLIMIT_NOFILE, &all) == 0) files = all;
  return files.rlim_cur;
}

}  // namespace

size_t ConnectionsThatFit(const ListenerOptions& options, uint64_t files) {
  const uint64_t fitting = files / 2 / static_cast<uint64_t>(std::max(options.threads, 1));
  return std::clamp<uint64_t>(fitting, 1, std::max<size_t>(options.max_connections, 1));
}

StatusOr<std::unique_ptr<Listener>> MakeTcpListener(const ListenerOptions& asked,
                                                    const ListenerParts& parts) {
  ListenerOptions options = asked;
  options.max_connections = ConnectionsThatFit(asked, FilesOfProcess());
  if (options.max_connections < asked.max_connections) {
    parts.logger.Warning("fewer connections than set: the process may have too few files",
                         {{"listener", options.name}, {"a_thread", options.max_connections}});
  }
  std::vector<Socket> sockets;
  std::string address = options.address;
  YAGURA_RETURN_IF_ERROR(CheckFree(address, SOCK_STREAM));
  for (int i = 0; i < options.threads; ++i) {
    YAGURA_ASSIGN_OR_RETURN(Socket socket, Bind(address, SOCK_STREAM));
    address = BoundAddress(socket);  // the others share the port
    sockets.push_back(std::move(socket));
  }
  return std::make_unique<TcpListener>(options, parts, std::move(sockets), std::move(address));
}

}  // namespace yagura::ingestion
