#include "services/archive/workers/day_chore.h"

#include <condition_variable>
#include <mutex>
#include <utility>

#include "common/status/status.h"

namespace yagura::archive {

DayChore::DayChore(std::vector<Step> steps, std::shared_ptr<const Clock> clock, Pace pace,
                   Words words, Logger logger)
    : steps_(std::move(steps)),
      clock_(std::move(clock)),
      pace_(pace),
      words_(std::move(words)),
      logger_(std::move(logger)) {}

DayChore::~DayChore() { Stop(); }

void DayChore::Start() {
  if (steps_.empty()) return;
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void DayChore::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

bool DayChore::Take(const Step& step) const {
  const auto day = step(clock_->Now());
  if (!day.ok()) {
    logger_.Warning(words_.failed, {{"why", Message(day.status())}});
    return false;
  }
  if (day->empty()) return false;
  logger_.Info(words_.done, {{"day", *day}});
  return true;
}

std::chrono::milliseconds DayChore::Turn() {
  bool any = false;
  for (const Step& step : steps_) any = Take(step) || any;
  return any ? pace_.between_days : pace_.when_done;
}

void DayChore::Run(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  while (!stop.stop_requested()) {
    const std::chrono::milliseconds pause = Turn();
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, pause, [] { return false; });
  }
}

}  // namespace yagura::archive
