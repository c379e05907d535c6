#include "services/archive/workers/tier_mover.h"

#include <condition_variable>
#include <mutex>
#include <utility>

#include "common/eventstore/client.h"
#include "common/status/status.h"

namespace yagura::archive {

TierMover::TierMover(std::vector<std::shared_ptr<eventstore::Client>> servers,
                     std::shared_ptr<const Clock> clock, Tiering tiering, Pace pace, Logger logger)
    : servers_(std::move(servers)),
      clock_(std::move(clock)),
      tiering_(std::move(tiering)),
      pace_(pace),
      logger_(std::move(logger)) {}

TierMover::~TierMover() { Stop(); }

void TierMover::Start() {
  if (tiering_.storage_policy.empty()) return;
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void TierMover::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

bool TierMover::MoveOn(eventstore::Client& server) {
  const auto moved = MoveOneDay(server, tiering_, clock_->Now());
  if (!moved.ok()) {
    logger_.Warning("events stay on their volume for now", {{"why", Message(moved.status())}});
    return false;
  }
  if (moved->empty()) return false;
  logger_.Info("a day of events was moved to the volume where it belongs", {{"day", *moved}});
  return true;
}

std::chrono::milliseconds TierMover::Turn() {
  bool any = false;
  for (const auto& server : servers_) any = MoveOn(*server) || any;
  return any ? pace_.between_days : pace_.when_done;
}

void TierMover::Run(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  while (!stop.stop_requested()) {
    const std::chrono::milliseconds pause = Turn();
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, pause, [] { return false; });
  }
}

}  // namespace yagura::archive
