#include "services/archive/workers/tier_mover.h"

#include <condition_variable>
#include <mutex>
#include <utility>

#include "common/eventstore/client.h"
#include "common/status/status.h"

namespace yagura::archive {

TierMover::TierMover(std::shared_ptr<eventstore::Client> client, std::shared_ptr<const Clock> clock,
                     Tiering tiering, Pace pace, Logger logger)
    : client_(std::move(client)),
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

std::chrono::milliseconds TierMover::Turn() {
  const auto moved = MoveOneDay(*client_, tiering_, clock_->Now());
  if (!moved.ok()) {
    logger_.Warning("events stay on their volume for now", {{"why", Message(moved.status())}});
    return pace_.when_done;
  }
  if (moved->empty()) return pace_.when_done;
  logger_.Info("a day of events was moved to the volume where it belongs", {{"day", *moved}});
  return pace_.between_days;
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
