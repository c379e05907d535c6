#include "services/ingestion/workers/tcp_thread.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "services/ingestion/domain/multi_line.h"
#include "services/ingestion/ingestion_metrics.h"
#include "services/ingestion/workers/descriptor_budget.h"
#include "services/ingestion/workers/tls.h"

namespace yagura::ingestion {
namespace {

constexpr size_t kReadBytes = 256 * 1024;
static_assert(kReadBytes >= Channel::kLeastBuffer);
constexpr auto kPause = std::chrono::milliseconds(50);  // while nothing flows
constexpr auto kFinalReads = std::chrono::milliseconds(200);
constexpr auto kAcceptPause = std::chrono::milliseconds(500);
constexpr auto kTellInterval = std::chrono::seconds(1);

}  // namespace

struct TcpThread::Connection {
  Connection(Socket socket_in, std::unique_ptr<Channel> channel_in,
             std::shared_ptr<const MultiLineRule> rule, Sender sender)
      : socket(std::move(socket_in)),
        channel(std::move(channel_in)),
        joiner(std::move(rule)),
        state(std::move(sender)) {}
  DescriptorBudget::Lease descriptor;  // goes after the socket
  Socket socket;
  std::unique_ptr<Channel> channel;  // ends before the socket
  bool open = false;
  bool watches_writing = false;
  std::list<int>::iterator opening;  // its place while not open
  Framer framer;
  LineJoiner joiner;
  TimePoint event_time{};   // when the event began that the joiner has
  SteadyTime event_line{};  // when its last line came
  std::list<int>::iterator in_event;
  SenderState state;
  SteadyTime last_read{};  // or when it was accepted
  size_t held = 0;         // of the framer, as it is counted in the sum
};

TcpThread::TcpThread(const ListenerOptions& options, const ListenerParts& parts, Socket listening,
                     int number)
    : options_(options),
      parts_(parts),
      max_held_(options.max_pending_bytes / static_cast<uint64_t>(std::max(options.threads, 1))),
      outlet_(NewOutlet(parts, options.name, number)),
      listening_(std::move(listening)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      buffer_(kReadBytes, '\0') {
  Watch(listening_.fd());
  Watch(wake_.fd());
}

TcpThread::~TcpThread() = default;

void TcpThread::Wake() {
  const uint64_t one = 1;
  if (::write(wake_.fd(), &one, sizeof one) < 0) return;  // it is awake already
}

void TcpThread::Run(const std::stop_token& stop) {
  // OpenSSL writes to sockets whose peers may have gone.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  const SteadyTime begin = parts_.clock->SteadyNow();
  while (!stop.stop_requested() && !outlet_->WaitReady(kPause)) {
    if (parts_.clock->SteadyNow() - begin > options_.sources_wait) break;
  }
  while (!stop.stop_requested()) {
    outlet_->Refresh();
    EndStillEvents();
    if (!outlet_->HandOn(false)) {
      outlet_->WaitFlowing(kPause);
      reading_since_ = parts_.clock->SteadyNow();  // who could not send was not idle
      continue;
    }
    ResumeAccepting();
    Poll(Timeout());
    CloseHoarders();
    CloseSlowHandshakes();
    CloseIdle();
  }
  Finish();
}

void TcpThread::Watch(int fd) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP;
  event.data.fd = fd;
  ::epoll_ctl(epoll_.fd(), EPOLL_CTL_ADD, fd, &event);
}

void TcpThread::WatchFor(Connection& connection, Channel::State state) {
  const bool writing = state == Channel::State::kWaitsToWrite;
  if (std::exchange(connection.watches_writing, writing) == writing) return;
  epoll_event event{};
  // What can be read meanwhile would wake us for nothing.
  event.events = writing ? EPOLLOUT : EPOLLIN | EPOLLRDHUP;
  event.data.fd = connection.socket.fd();
  ::epoll_ctl(epoll_.fd(), EPOLL_CTL_MOD, connection.socket.fd(), &event);
}

int TcpThread::Timeout() const {
  const auto due = outlet_->NextDue();
  if (!due) return 100;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*due - parts_.clock->SteadyNow());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 100));
}

void TcpThread::Poll(int timeout) {
  std::array<epoll_event, 64> events;
  const int count =
      ::epoll_wait(epoll_.fd(), events.data(), static_cast<int>(events.size()), timeout);
  for (int i = 0; i < count; ++i) {
    const int fd = events[static_cast<size_t>(i)].data.fd;
    if (fd == listening_.fd()) {
      Accept();
    } else if (const auto found = connections_.find(fd); found != connections_.end()) {
      if (!Serve(*found->second)) Close(fd);
      CloseHoarders();
    }
    // A round may bring many full batches: no more than the sink takes.
    if (outlet_->has_ready() && !outlet_->HandOn(false)) return;
  }
}

void TcpThread::Accept() {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  Socket socket(::accept4(listening_.fd(), reinterpret_cast<sockaddr*>(&peer), &size,
                          SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.fd() < 0) {
    const bool exhausted =
        errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
    if (exhausted) PauseAccepting();
    return;
  }
  DescriptorBudget::Lease descriptor;
  if (parts_.descriptors != nullptr) {
    descriptor = parts_.descriptors->Take(options_.name);
    if (!descriptor) {
      parts_.metrics->CountConnectionsCut(options_.name, "descriptors");
      Tell(AddressOf(peer).ToString(), "descriptors", "inputs hold too many file descriptors");
      return;
    }
  }
  // Somebody who only begins handshakes must not keep others from theirs: the oldest gives way.
  if (opening_.size() >= options_.max_handshakes) Cut(opening_.front(), "handshakes");
  const int fd = socket.fd();
  std::unique_ptr<Channel> channel =
      options_.tls == nullptr ? std::make_unique<PlainChannel>(fd) : options_.tls->NewChannel(fd);
  if (connections_.size() >= options_.max_connections || channel == nullptr) {
    parts_.metrics->CountConnectionsCut(options_.name, "limit");
    Tell(AddressOf(peer).ToString(), "limit", "too many connections");
    return;
  }
  const int on = 1;
  ::setsockopt(socket.fd(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  auto& connection = connections_[fd];
  connection =
      std::make_unique<Connection>(std::move(socket), std::move(channel), options_.multi_line,
                                   Sender{options_.name, AddressOf(peer), {}, {}});
  connection->descriptor = std::move(descriptor);
  connection->last_read = parts_.clock->SteadyNow();
  connection->opening = opening_.insert(opening_.end(), fd);
  parts_.metrics->CountConnections(options_.name, +1);
  Watch(fd);
  if (options_.tls == nullptr && !Open(*connection)) Close(fd);
}

void TcpThread::PauseAccepting() {
  const std::string error = std::strerror(errno);
  ::epoll_ctl(epoll_.fd(), EPOLL_CTL_DEL, listening_.fd(), nullptr);
  accept_again_ = parts_.clock->SteadyNow() + kAcceptPause;
  parts_.metrics->CountAcceptPause(options_.name);
  if (!std::exchange(told_of_pause_, true)) {
    parts_.logger.Error("the system has nothing for another connection; accepting waits",
                        {{"listener", options_.name}, {"error", error}});
  }
}

void TcpThread::ResumeAccepting() {
  if (!accept_again_ || parts_.clock->SteadyNow() < *accept_again_) return;
  accept_again_.reset();
  Watch(listening_.fd());
}

bool TcpThread::Serve(Connection& connection) {
  return connection.open ? Read(connection) : Open(connection);
}

bool TcpThread::Open(Connection& connection) {
  const Channel::State state = connection.channel->Open();
  if (state == Channel::State::kEnded) {
    parts_.metrics->CountConnectionsCut(options_.name, "handshake");
    Tell(connection.state.origin, "handshake", connection.channel->failure());
    return false;
  }
  WatchFor(connection, state);
  if (state != Channel::State::kReady) return true;
  connection.open = true;
  opening_.erase(connection.opening);
  connection.last_read = parts_.clock->SteadyNow();
  connection.state.sender.certificates = connection.channel->Certificates();
  return true;
}

bool TcpThread::Read(Connection& connection) {
  size_t got = 0;
  const auto state = connection.channel->Receive(buffer_.data(), buffer_.size(), &got);
  if (got > 0) {
    connection.last_read = parts_.clock->SteadyNow();
    connection.framer.Feed({buffer_.data(), got}, Sink(connection));
    CountHeld(connection, connection.framer.held_bytes() + connection.joiner.held_bytes());
  }
  if (state == Channel::State::kEnded) return false;
  WatchFor(connection, state);
  return true;
}

void TcpThread::CountHeld(Connection& connection, size_t now) {
  held_ += now;
  held_ -= std::exchange(connection.held, now);
}

// Whoever holds most goes first: those who send whole lines hold next to nothing. What other
// threads hold is not looked at: their hoarders are not to be paid for here.
void TcpThread::CloseHoarders() {
  while (held_ > max_held_) {
    const auto most = std::max_element(
        connections_.begin(), connections_.end(),
        [](const auto& a, const auto& b) { return a.second->held < b.second->held; });
    if (most == connections_.end()) return;
    Cut(most->first, "memory");
  }
}

void TcpThread::CloseSlowHandshakes() {
  const SteadyTime now = parts_.clock->SteadyNow();
  while (!opening_.empty()) {
    const Connection& oldest = *connections_.at(opening_.front());
    if (now - std::max(oldest.last_read, reading_since_) < options_.handshake_timeout) return;
    Cut(opening_.front(), "handshake_timeout");
  }
}

void TcpThread::CloseIdle() {
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

void TcpThread::Cut(int fd, const char* reason, const std::string& detail) {
  parts_.metrics->CountConnectionsCut(options_.name, reason);
  Tell(connections_.at(fd)->state.origin, reason, detail);
  Close(fd);
}

// Whoever reaches the port can bring it about: told once a second at most, the metric has all.
void TcpThread::Tell(const std::string& peer, const char* reason, const std::string& detail) {
  const SteadyTime now = parts_.clock->SteadyNow();
  if (now < next_telling_) {
    ++untold_;
    return;
  }
  next_telling_ = now + kTellInterval;
  parts_.logger.Info("a connection was closed", {{"listener", options_.name},
                                                 {"peer", peer},
                                                 {"reason", reason},
                                                 {"detail", detail},
                                                 {"more_since", std::exchange(untold_, 0)}});
}

Framer::Sink TcpThread::Sink(Connection& connection) {
  return [this, &connection, receive_time = parts_.clock->Now(), now = parts_.clock->SteadyNow()](
             std::string_view line, bool truncated) {
    TakeLine(connection, line, truncated, receive_time, now);
  };
}

void TcpThread::TakeLine(Connection& connection, std::string_view line, bool truncated,
                         TimePoint receive_time, SteadyTime now) {
  if (options_.multi_line == nullptr || connection.framer.counted()) {
    EndEvent(connection);
    outlet_->Add(connection.state, line, truncated, receive_time, now);
    return;
  }
  const bool had_event = !connection.joiner.empty();
  const bool begins = connection.joiner.Add(line, truncated, [&](std::string_view event, bool cut) {
    outlet_->Add(connection.state, event, cut, connection.event_time, now);
  });
  if (begins) connection.event_time = receive_time;
  connection.event_line = now;
  const int fd = connection.socket.fd();
  if (had_event) in_event_.erase(connection.in_event);
  if (!connection.joiner.empty()) connection.in_event = in_event_.insert(in_event_.end(), fd);
}

void TcpThread::EndEvent(Connection& connection) {
  if (connection.joiner.empty()) return;
  const SteadyTime now = parts_.clock->SteadyNow();
  connection.joiner.Flush([&](std::string_view event, bool cut) {
    outlet_->Add(connection.state, event, cut, connection.event_time, now);
  });
  in_event_.erase(connection.in_event);
}

void TcpThread::EndStillEvents() {
  const SteadyTime now = parts_.clock->SteadyNow();
  while (!in_event_.empty()) {
    Connection& connection = *connections_.at(in_event_.front());
    if (now - connection.event_line < options_.multi_line->options().timeout) return;
    EndEvent(connection);
    CountHeld(connection, connection.framer.held_bytes() + connection.joiner.held_bytes());
  }
}

void TcpThread::Close(int fd) {
  const auto found = connections_.find(fd);
  Connection& connection = *found->second;
  if (!connection.open) opening_.erase(connection.opening);
  connection.framer.Finish(Sink(connection));
  EndEvent(connection);
  CountHeld(connection, 0);
  connections_.erase(found);
  parts_.metrics->CountConnections(options_.name, -1);
}

// At a stop: what the kernel had taken from senders is read once more, so that a restart loses as
// little as plain syslog over TCP allows.
void TcpThread::Finish() {
  const SteadyTime until = parts_.clock->SteadyNow() + kFinalReads;
  bool more = outlet_->flowing();
  while (more && parts_.clock->SteadyNow() < until) {
    more = false;
    for (auto& [fd, connection] : connections_) {
      if (!connection->open) continue;
      size_t got = 0;
      connection->channel->Receive(buffer_.data(), buffer_.size(), &got);
      if (got == 0) continue;
      connection->framer.Feed({buffer_.data(), got}, Sink(*connection));
      more = true;
    }
    outlet_->HandOn(false);
  }
  while (!connections_.empty()) Close(connections_.begin()->first);
  outlet_->HandOn(true);
  outlet_->GiveUp();
}

}  // namespace yagura::ingestion
