#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace yagura::eventstore {

// A server of HTTP on a loopback port that does what a test tells it: answers, breaks off, falls
// silent. Each request has a connection of its own.
class HttpPeer {
 public:
  // One connection whose head was read; closed when the handler returns.
  class Connection {
   public:
    Connection(int fd, std::string head, std::string rest)
        : head_(std::move(head)), fd_(fd), rest_(std::move(rest)) {}
    const std::string& head() const { return head_; }
    bool IsPing() const { return head_.starts_with("GET /ping"); }
    // Some bytes of the body, at least one; fewer where the client has closed.
    std::string Read(size_t bytes);
    void Write(std::string_view bytes) const;
    // A whole answer. `headers`: "Name: value\r\n" each.
    void Answer(int status, std::string_view headers, std::string_view body) const;
    // As a ClickHouse server does.
    void Refuse(int code, std::string_view text) const;
    // Until the client closes, the peer is stopped, or that time has come.
    void FallSilent(const std::atomic<bool>& stopping,
                    std::chrono::steady_clock::time_point until =
                        std::chrono::steady_clock::time_point::max()) const;

   private:
    std::string head_;
    int fd_;
    std::string rest_;
  };
  using Handler = std::function<void(Connection&, const std::atomic<bool>& stopping)>;

  explicit HttpPeer(Handler handler);
  ~HttpPeer();
  HttpPeer(const HttpPeer&) = delete;
  HttpPeer& operator=(const HttpPeer&) = delete;

  std::string address() const;
  // Requests but pings.
  int requests() const { return requests_; }
  // What the heads of all requests said.
  std::string heads() const;

 private:
  void Accept();
  void Serve(int fd);

  const Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<int> requests_{0};
  mutable std::mutex mutex_;
  std::string heads_;
  std::vector<std::thread> connections_;
  std::thread acceptor_;
};

}  // namespace yagura::eventstore
