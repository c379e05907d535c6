#include "services/ingestion/workers/connection_gate.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "services/ingestion/ingestion_metrics.h"

namespace yagura::ingestion {
namespace {

constexpr auto kSweepInterval = std::chrono::milliseconds(500);

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
    Sweep();
    if (stop.stop_requested()) return;
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
  ++by_network_[network];
  open_.push_back({socket.fd(), InodeOf(socket.fd()), std::move(network), std::move(descriptor)});
  parts_.metrics->CountConnections(name_, +1);
  admit_(socket.Release());
  return true;
}

bool ConnectionGate::HasRoom(const std::string& network, DescriptorBudget::Lease* descriptor) {
  const auto is_full = [&] {
    const auto held = by_network_.find(network);
    return held != by_network_.end() && held->second >= most_per_address_;
  };
  if (is_full()) Sweep();
  if (is_full()) {
    parts_.metrics->CountConnectionsCut(name_, "limit");
    return false;
  }
  if (parts_.descriptors == nullptr) return true;
  *descriptor = parts_.descriptors->Take(name_);
  if (!*descriptor) {
    Sweep();
    *descriptor = parts_.descriptors->Take(name_);
  }
  if (!*descriptor) parts_.metrics->CountConnectionsCut(name_, "descriptors");
  return static_cast<bool>(*descriptor);
}

void ConnectionGate::Sweep() {
  const SteadyTime now = parts_.clock->SteadyNow();
  if (now < next_sweep_) return;
  next_sweep_ = now + kSweepInterval;
  std::erase_if(open_, [this](const Open& open) {
    if (InodeOf(open.fd) == open.inode) return false;
    parts_.metrics->CountConnections(name_, -1);
    const auto held = by_network_.find(open.network);
    if (--held->second == 0) by_network_.erase(held);
    return true;
  });
}

}  // namespace yagura::ingestion
