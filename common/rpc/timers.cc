#include "common/rpc/timers.h"

#include <algorithm>
#include <utility>

namespace yagura::rpc {
namespace {

// An injected clock moves without telling us: ask it at least this often.
constexpr std::chrono::milliseconds kLongestWait{100};

}  // namespace

Timers::Timers(std::shared_ptr<const Clock> clock)
    : clock_(std::move(clock)), thread_([this] { Work(); }) {}

Timers::~Timers() { Stop(); }

void Timers::At(SteadyTime time, std::function<void()> action) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    due_.emplace(time, std::move(action));
  }
  wake_.notify_one();
}

void Timers::After(std::chrono::milliseconds delay, std::function<void()> action) {
  At(clock_->SteadyNow() + delay, std::move(action));
}

void Timers::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Timers::Work() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (due_.empty()) {
      wake_.wait(lock);
      continue;
    }
    const SteadyTime now = clock_->SteadyNow();
    const auto first = due_.begin();
    if (first->first > now) {
      wake_.wait_for(lock, std::min<SteadyTime::duration>(first->first - now, kLongestWait));
      continue;
    }
    auto action = std::move(first->second);
    due_.erase(first);
    lock.unlock();
    action();
    action = nullptr;
    lock.lock();
  }
}

}  // namespace yagura::rpc
