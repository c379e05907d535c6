#include "services/ingestion/workers/connection_gate.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "services/ingestion/ingestion_metrics.h"

namespace yagura::ingestion {
namespace {

constexpr auto kSweepInterval = std::chrono::milliseconds(500);
// Connections that are looked at for one that comes, and in each interval: some µs, and some ms.
constexpr size_t kLooksAConnection = 256;
constexpr size_t kLooksAnInterval = 16'384;

uint64_t InodeOf(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 ? info.st_ino : 0;
}

// Whoever has one address of an IPv6 /64 has them all.
std::string NetworkOf(const sockaddr_storage& peer) {
  const event::IpAddress address = AddressOf(peer);
  const std::string_view bytes = address.bytes();
  return std::string(bytes.substr(0, bytes.size() == 16 ? 8 : bytes.size()));
}

}  // namespace

ConnectionGate::ConnectionGate(std::string name, Socket listening, const ListenerParts& parts,
                               size_t most_per_address, Admit admit)
    : name_(std::move(name)),
      listening_(std::move(listening)),
      address_(BoundAddress(listening_)),
      parts_(parts),
      most_per_address_(most_per_address),
      admit_(std::move(admit)),
      wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      thread_([this](const std::stop_token& stop) { Run(stop); }) {}

ConnectionGate::~ConnectionGate() {
  thread_.request_stop();
  const uint64_t one = 1;
  if (::write(wake_.fd(), &one, sizeof one) < 0) thread_.request_stop();  // it looks by itself
  thread_.join();
}

void ConnectionGate::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::array<pollfd, 2> polled{{{wake_.fd(), POLLIN, 0}, {listening_.fd(), POLLIN, 0}}};
    ::poll(polled.data(), paused_ ? 1 : 2, static_cast<int>(kSweepInterval.count()));
    paused_ = false;
    if (stop.stop_requested()) return;
    if (const SteadyTime now = parts_.clock->SteadyNow(); now >= next_sweep_) {
      next_sweep_ = now + kSweepInterval;
      Sweep(kLooksAnInterval);
    }
    if (polled[1].revents == 0) continue;
    while (Accept()) {
    }
  }
}

bool ConnectionGate::Accept() {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  Socket socket(::accept4(listening_.fd(), reinterpret_cast<sockaddr*>(&peer), &size,
                          SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.fd() < 0) {
    const int error = errno;
    if (error != EMFILE && error != ENFILE && error != ENOBUFS && error != ENOMEM) return false;
    paused_ = true;
    parts_.metrics->CountAcceptPause(name_);
    if (!std::exchange(told_, true)) {
      parts_.logger.Error("the system has nothing for another connection; accepting waits",
                          {{"listener", name_}, {"error", std::strerror(error)}});
    }
    return false;
  }
  std::string network = NetworkOf(peer);
  DescriptorBudget::Lease descriptor;
  if (!HasRoom(network, &descriptor)) return true;
  const int on = 1;
  ::setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  open_[std::move(network)].open.push_back(
      {socket.fd(), InodeOf(socket.fd()), std::move(descriptor)});
  parts_.metrics->CountConnections(name_, +1);
  admit_(socket.Release());
  return true;
}

bool ConnectionGate::HasRoom(const std::string& network, DescriptorBudget::Lease* descriptor) {
  const auto held = open_.find(network);
  size_t looks = kLooksAConnection;
  if (held != open_.end() && held->second.open.size() >= most_per_address_ && !Sweep(held, looks)) {
    parts_.metrics->CountConnectionsCut(name_, "limit");
    return false;
  }
  if (parts_.descriptors == nullptr) return true;
  *descriptor = parts_.descriptors->Take(name_);
  if (!*descriptor) {
    Sweep(kLooksAConnection);
    *descriptor = parts_.descriptors->Take(name_);
  }
  if (!*descriptor) parts_.metrics->CountConnectionsCut(name_, "descriptors");
  return static_cast<bool>(*descriptor);
}

bool ConnectionGate::Sweep(Networks::iterator network, size_t& most) {
  auto& [open, next] = network->second;
  const size_t before = open.size();
  for (size_t left = std::min(before, most); left > 0; --left, --most) {
    if (next >= open.size()) next = 0;
    if (InodeOf(open[next].fd) == open[next].inode) {
      ++next;
      continue;
    }
    parts_.metrics->CountConnections(name_, -1);
    if (next + 1 < open.size()) open[next] = std::move(open.back());
    open.pop_back();
  }
  const bool fewer = open.size() < before;
  if (open.empty()) open_.erase(network);
  return fewer;
}

void ConnectionGate::Sweep(size_t most) {
  for (size_t networks = open_.size(); networks > 0 && most > 0; --networks) {
    auto next = open_.upper_bound(swept_last_);
    if (next == open_.end()) next = open_.begin();
    swept_last_ = next->first;
    Sweep(next, most);
  }
}

}  // namespace yagura::ingestion
