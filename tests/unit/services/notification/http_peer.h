#pragma once

#include <httplib.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "fmt/format.h"

namespace yagura::notification {

// A real HTTP server on a free loopback port. POST /ok answers 204, /answer/N the status N, /hang
// nothing until the peer goes.
class HttpPeer {
 public:
  HttpPeer() {
    server_.Post("/ok", [this](const httplib::Request& request, httplib::Response& response) {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
      response.status = 204;
    });
    server_.Post("/answer/(\\d+)",
                 [](const httplib::Request& request, httplib::Response& response) {
                   response.status = std::stoi(request.matches[1]);
                   response.set_header("Location", "/ok");
                 });
    server_.Post("/hang", [this](const httplib::Request&, httplib::Response&) {
      std::unique_lock lock(mutex_);
      released_.wait(lock, [this] { return ending_; });
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!server_.is_running()) {
      if (std::chrono::steady_clock::now() > deadline) std::abort();
      std::this_thread::yield();
    }
  }
  ~HttpPeer() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    released_.notify_all();
    server_.stop();
    thread_.join();
  }
  HttpPeer(const HttpPeer&) = delete;
  HttpPeer& operator=(const HttpPeer&) = delete;

  std::string Url(const std::string& path) const {
    return fmt::format("http://127.0.0.1:{}{}", port_, path);
  }
  // What came to /ok.
  std::vector<httplib::Request> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  httplib::Server server_;
  mutable std::mutex mutex_;
  std::condition_variable released_;
  bool ending_ = false;
  std::vector<httplib::Request> requests_;
  int port_ = 0;
  std::thread thread_;
};

}  // namespace yagura::notification
