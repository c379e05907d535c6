#include "common/process/supervisor.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/status/status.h"

namespace yagura {
namespace {

constexpr std::chrono::milliseconds kPoll{10};
constexpr std::chrono::milliseconds kFirstPause{100};
constexpr std::chrono::milliseconds kLongestPause{5000};
constexpr std::chrono::minutes kGoodRun{1};

}  // namespace

Supervisor::Supervisor(Options options, Logger logger)
    : options_(std::move(options)), logger_(std::move(logger)) {}

Supervisor::~Supervisor() { Stop(); }

absl::Status Supervisor::Start() {
  // The child dies with the thread that starts it, so one thread stays with it for all its lives.
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return reported_; });
  return first_start_;
}

void Supervisor::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void Supervisor::Report(absl::Status status) {
  const std::lock_guard lock(mutex_);
  if (reported_) return;
  reported_ = true;
  first_start_ = std::move(status);
  changed_.notify_all();
}

void Supervisor::Run(const std::stop_token& stop) {
  std::chrono::milliseconds pause{0};
  while (!stop.stop_requested()) {
    const auto started = std::chrono::steady_clock::now();
    const bool was_ready = RunOnce(stop);
    if (!was_ready && restarts_ == 0) break;  // the first start failed: the caller decides
    if (std::chrono::steady_clock::now() - started > kGoodRun) pause = std::chrono::milliseconds(0);
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop, pause, [] { return false; });
    pause = std::clamp(pause * 2, kFirstPause, kLongestPause);
    ++restarts_;
  }
  Report(absl::CancelledError("stopped"));
}

bool Supervisor::RunOnce(const std::stop_token& stop) {
  auto child = ChildProcess::Start(options_.child);
  if (!child.ok()) {
    logger_.Error("child does not start",
                  {{"child", options_.name}, {"error", Message(child.status())}});
    Report(child.status());
    return false;
  }
  pid_ = child->pid();
  const auto deadline = std::chrono::steady_clock::now() + options_.start_timeout;
  bool ready = false;
  while (!stop.stop_requested()) {
    if (const auto status = child->ExitStatus()) {
      logger_.Error("child ended", {{"child", options_.name}, {"how", DescribeExit(*status)}});
      Report(Internal(fmt::format("{} ended with {} before it was ready", options_.name,
                                  DescribeExit(*status))));
      pid_ = -1;
      return ready;
    }
    if (!ready && options_.ready()) {
      ready = true;
      Report(absl::OkStatus());
    }
    if (!ready && std::chrono::steady_clock::now() > deadline) {
      logger_.Error("child is not ready in time", {{"child", options_.name}});
      Report(MakeError(absl::StatusCode::kDeadlineExceeded, "CHILD_NOT_READY",
                       fmt::format("{} did not become ready", options_.name)));
      break;
    }
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop, kPoll, [] { return false; });
  }
  child->Stop(options_.stop_timeout);
  pid_ = -1;
  return ready;
}

}  // namespace yagura
