#include "services/archive/workers/write_gate.h"

#include "common/status/status.h"

namespace yagura::archive {

std::optional<WriteGate::Pass> WriteGate::Enter(std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, wait, [this] { return !closed_; })) return std::nullopt;
  ++inside_;
  return std::make_optional<Pass>(this);
}

void WriteGate::Return() {
  {
    const std::lock_guard lock(mutex_);
    --inside_;
  }
  changed_.notify_all();
}

bool WriteGate::Close(std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  closed_ = true;
  return changed_.wait_for(lock, wait, [this] { return inside_ == 0; });
}

void WriteGate::Open() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = false;
  }
  changed_.notify_all();
}

PauseFollower::PauseFollower(std::shared_ptr<redis::Pool> flow, std::string process,
                             WriteGate& gate, Pace pace, Logger logger)
    : store_(std::move(flow)),
      process_(std::move(process)),
      gate_(gate),
      pace_(pace),
      logger_(std::move(logger)) {}

PauseFollower::~PauseFollower() { Stop(); }

void PauseFollower::Start() {
  heard_ = Steady::now();
  Look();
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void PauseFollower::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
  store_.Leave(process_);
}

void PauseFollower::Run(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex);
      wake.wait_for(lock, stop, pace_.look, [] { return false; });
    }
    if (!stop.stop_requested()) Look();
  }
}

void PauseFollower::Look() {
  const auto now = Steady::now();
  const bool tells = now >= next_tell_;
  const auto asked = tells ? store_.Tell(process_, rests_in_) : store_.Asked();
  if (!asked.ok()) {
    if (closed_ && now - heard_ > pace_.longest) GoOn();
    return;
  }
  heard_ = now;
  if (tells) next_tell_ = now + pace_.tell;
  if (asked->empty()) {
    if (closed_) GoOn();
  } else if (*asked != rests_in_) {
    Rest(*asked);
  }
}

void PauseFollower::Rest(const std::string& pause) {
  closed_ = true;
  if (!gate_.Close(pace_.look)) return;  // looked at again in a moment
  if (!store_.Tell(process_, pause).ok()) return;
  rests_in_ = pause;
  logger_.Info("writing to the event store pauses for a backup", {{"pause", pause}});
}

void PauseFollower::GoOn() {
  closed_ = false;
  rests_in_.clear();
  next_tell_ = {};
  gate_.Open();
  logger_.Info("writing to the event store goes on", {});
}

}  // namespace yagura::archive
