#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "common/rpc/app.h"
#include "common/testing/eventually.h"
#include "yagura/testing/v1/echo_service.pb.h"

namespace yagura::rpc {

// A gate that handlers wait at, so that tests decide when they go on.
class Gate {
 public:
  void Wait() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    --waiting_;
  }
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  // Until `count` handlers wait.
  bool WaitFor(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return waiting_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int waiting_ = 0;
};

// What the tests see of the app that the server owns.
struct EchoProbe {
  Gate gate;
  std::atomic<int> calls{0};
  std::atomic<int> messages{0};
  std::atomic<int> watchers{0};
  std::atomic<int> sessions_ended{0};
  std::atomic<int> cancelled{0};
  std::atomic<bool> well{true};
  std::mutex mutex;
  std::vector<std::string> life;  // "start", "stop"
  std::vector<Outbox<testing::v1::EchoResponse>> outboxes;
  // Runs in GetEcho for the text "hook".
  std::function<absl::StatusOr<testing::v1::EchoResponse>(const Call&)> hook;

  void Lived(std::string event) {
    const std::lock_guard lock(mutex);
    life.push_back(std::move(event));
  }
  // Sends to every watcher; how many took it.
  int Publish(const testing::v1::EchoResponse& response);
};

// Serves yagura.testing.v1.EchoService.
class EchoApp final : public App {
 public:
  explicit EchoApp(std::shared_ptr<EchoProbe> probe, std::string name = "echo",
                   std::string leave_out = "")
      : probe_(std::move(probe)), name_(std::move(name)), leave_out_(std::move(leave_out)) {}
  std::string_view name() const override { return name_; }
  void Register(ServiceRegistry& registry) override;
  absl::Status Start() override {
    probe_->Lived("start " + name_);
    return absl::OkStatus();
  }
  void Stop() override { probe_->Lived("stop " + name_); }
  std::map<std::string, absl::Status> Health() const override;

 private:
  const std::shared_ptr<EchoProbe> probe_;
  const std::string name_;
  const std::string leave_out_;
};

using testing::Eventually;

}  // namespace yagura::rpc
