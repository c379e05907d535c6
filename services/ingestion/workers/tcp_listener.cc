#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "common/status/status.h"
#include "services/ingestion/workers/listener.h"
#include "services/ingestion/workers/socket.h"
#include "services/ingestion/workers/tcp_thread.h"

namespace yagura::ingestion {
namespace {

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
