#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <thread>
#include <unordered_map>
#include <vector>

#include "common/status/status.h"
#include "common/text/text.h"
#include "services/ingestion/domain/framing.h"
#include "services/ingestion/ingestion_metrics.h"
#include "services/ingestion/workers/line_outlet.h"
#include "services/ingestion/workers/listener.h"
#include "services/ingestion/workers/socket.h"

namespace yagura::ingestion {
namespace {

constexpr size_t kDatagrams = 64;             // a system call
constexpr size_t kDatagramBytes = 64 * 1024;  // a datagram is never longer
constexpr size_t kControlBytes = CMSG_SPACE(sizeof(uint32_t));
constexpr size_t kMaxSenders = 65'536;  // remembered a thread
constexpr auto kPause = std::chrono::milliseconds(50);
constexpr auto kLookInterval = std::chrono::seconds(1);
// At a stop, what the kernel holds is still read, but senders that do not stop are not waited for.
constexpr auto kDrain = std::chrono::seconds(1);

// One thread with its own socket (SO_REUSEPORT): a datagram is a line. There is no way to make a
// sender wait; what the streams cannot take goes to the spool.
class UdpThread {
 public:
  UdpThread(const ListenerOptions& options, const ListenerParts& parts, Socket socket, int number)
      : options_(options),
        parts_(parts),
        outlet_(NewOutlet(parts, options.name, number)),
        socket_(std::move(socket)),
        memory_(kDatagrams * kDatagramBytes, '\0') {
    for (size_t i = 0; i < kDatagrams; ++i) {
      vectors_[i] = {memory_.data() + i * kDatagramBytes, kDatagramBytes};
    }
  }

  void Run(const std::stop_token& stop) {
    const SteadyTime begin = parts_.clock->SteadyNow();
    while (!stop.stop_requested()) {  // the kernel's buffer holds what comes meanwhile
      if (outlet_->WaitReady(kPause)) break;
      if (parts_.clock->SteadyNow() - begin > options_.sources_wait) break;
    }
    while (!stop.stop_requested()) {
      outlet_->Refresh();
      HandOn(false);
      LookForDrops();
      pollfd poll{socket_.fd(), POLLIN, 0};
      if (::poll(&poll, 1, Timeout()) > 0) {
        while (Receive() == static_cast<int>(kDatagrams) && !outlet_->has_ready()) {
        }
      }
    }
    const SteadyTime end = parts_.clock->SteadyNow() + kDrain;
    while (Receive() > 0 && parts_.clock->SteadyNow() < end) HandOn(false);
    next_look_ = {};
    LookForDrops();
    HandOn(true);
  }

 private:
  int Timeout() const {
    const auto due = outlet_->NextDue();
    if (!due) return static_cast<int>(kPause.count());
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(*due - parts_.clock->SteadyNow());
    return static_cast<int>(std::clamp<int64_t>(left.count(), 0, kPause.count()));
  }

  int Receive() {
    for (size_t i = 0; i < kDatagrams; ++i) {
      messages_[i] = {};
      messages_[i].msg_hdr.msg_iov = &vectors_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
      messages_[i].msg_hdr.msg_name = &peers_[i];
      messages_[i].msg_hdr.msg_namelen = sizeof peers_[i];
      messages_[i].msg_hdr.msg_control = control_[i].data();
      messages_[i].msg_hdr.msg_controllen = kControlBytes;
    }
    const int count = ::recvmmsg(socket_.fd(), messages_.data(), kDatagrams, MSG_DONTWAIT, nullptr);
    const TimePoint receive_time = parts_.clock->Now();
    const SteadyTime now = parts_.clock->SteadyNow();
    for (int i = 0; i < count; ++i) {
      const auto at = static_cast<size_t>(i);
      NoteDrops(messages_[at].msg_hdr);
      std::string_view line(memory_.data() + at * kDatagramBytes, messages_[at].msg_len);
      while (!line.empty() && (line.back() == '\n' || line.back() == '\r' || line.back() == '\0')) {
        line.remove_suffix(1);
      }
      if (line.empty()) continue;
      outlet_->Add(StateOf(peers_[at]), line, false, receive_time, now);
    }
    return count;
  }

  // SO_RXQ_OVFL: how many datagrams this socket had lost when this one came.
  void NoteDrops(msghdr& header) {
    for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr;
         part = CMSG_NXTHDR(&header, part)) {
      if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SO_RXQ_OVFL) continue;
      uint32_t dropped = 0;
      std::memcpy(&dropped, CMSG_DATA(part), sizeof dropped);
      NoteDropped(dropped);
    }
  }

  // Once a second: after what was lost last there may come no datagram that tells of it.
  void LookForDrops() {
    const SteadyTime now = parts_.clock->SteadyNow();
    if (now < next_look_) return;
    next_look_ = now + kLookInterval;
    std::array<uint32_t, SK_MEMINFO_VARS> info{};
    socklen_t size = sizeof info;
    if (::getsockopt(socket_.fd(), SOL_SOCKET, SO_MEMINFO, info.data(), &size) == 0 &&
        size > SK_MEMINFO_DROPS * sizeof(uint32_t)) {
      NoteDropped(info[SK_MEMINFO_DROPS]);
    }
  }

  // The counter of the socket, which wraps around. A datagram that waited tells an older state.
  void NoteDropped(uint32_t dropped) {
    const auto more = static_cast<int32_t>(dropped - dropped_);
    if (more <= 0) return;
    parts_.metrics->CountKernelDrops(options_.name, static_cast<uint64_t>(more));
    dropped_ = dropped;
  }

  SenderState& StateOf(const sockaddr_storage& peer) {
    const event::IpAddress address = AddressOf(peer);
    const auto found = senders_.find(address.bytes());
    if (found != senders_.end()) return found->second;
    // Addresses of datagrams may be forged: what is remembered is bounded.
    if (senders_.size() >= kMaxSenders) senders_.clear();
    return senders_
        .emplace(std::string(address.bytes()), SenderState(Sender{options_.name, address, {}, {}}))
        .first->second;
  }

  // There is nobody who could wait.
  void HandOn(bool all) {
    outlet_->HandOn(all);
    outlet_->GiveUp();
  }

  const ListenerOptions& options_;
  const ListenerParts& parts_;
  const std::unique_ptr<LineOutlet> outlet_;
  Socket socket_;
  StringMap<SenderState> senders_;  // by the bytes of the address
  uint32_t dropped_ = 0;
  SteadyTime next_look_{};
  std::string memory_;
  std::array<iovec, kDatagrams> vectors_{};
  std::array<mmsghdr, kDatagrams> messages_{};
  std::array<sockaddr_storage, kDatagrams> peers_{};
  std::array<std::array<char, kControlBytes>, kDatagrams> control_{};
};

class UdpListener final : public Listener {
 public:
  UdpListener(ListenerOptions options, ListenerParts parts, std::vector<Socket> sockets,
              std::string address)
      : options_(std::move(options)), parts_(std::move(parts)), address_(std::move(address)) {
    for (size_t i = 0; i < sockets.size(); ++i) {
      threads_.push_back(std::make_unique<UdpThread>(options_, parts_, std::move(sockets[i]),
                                                     static_cast<int>(i)));
    }
  }
  ~UdpListener() override { Stop(); }

  const std::string& address() const override { return address_; }

  void Start() override {
    for (const auto& thread : threads_) {
      running_.emplace_back([&thread](const std::stop_token& stop) { thread->Run(stop); });
    }
  }

  void Stop() override {
    for (std::jthread& thread : running_) thread.request_stop();
    running_.clear();  // joins
  }

 private:
  const ListenerOptions options_;
  const ListenerParts parts_;
  const std::string address_;
  std::vector<std::unique_ptr<UdpThread>> threads_;
  std::vector<std::jthread> running_;
};

}  // namespace

StatusOr<std::unique_ptr<Listener>> MakeUdpListener(const ListenerOptions& options,
                                                    const ListenerParts& parts) {
  std::vector<Socket> sockets;
  std::string address = options.address;
  YAGURA_RETURN_IF_ERROR(CheckFree(address, SOCK_DGRAM));
  for (int i = 0; i < options.threads; ++i) {
    YAGURA_ASSIGN_OR_RETURN(Socket socket, Bind(address, SOCK_DGRAM));
    const int on = 1;
    const int bytes = options.receive_buffer_bytes;
    ::setsockopt(socket.fd(), SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
    // Above the system's limit where we may.
    if (::setsockopt(socket.fd(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0) {
      ::setsockopt(socket.fd(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    }
    address = BoundAddress(socket);
    sockets.push_back(std::move(socket));
  }
  return std::make_unique<UdpListener>(options, parts, std::move(sockets), std::move(address));
}

}  // namespace yagura::ingestion
