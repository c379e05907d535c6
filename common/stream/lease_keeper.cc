#include "common/stream/lease_keeper.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/stream/scripts.h"

namespace yagura::stream {

LeaseKeeper::LeaseKeeper(std::shared_ptr<redis::Pool> flow, std::chrono::milliseconds lease)
    : flow_(std::move(flow)), lease_(lease), renew_(RenewScript()), thread_([this] { Loop(); }) {}

LeaseKeeper::~LeaseKeeper() {
  stop_.Set();
  thread_.join();
}

std::shared_ptr<LeaseKeeper::Held> LeaseKeeper::Keep(std::string key, std::string holder,
                                                     uint64_t epoch) {
  auto held = std::make_shared<Held>();
  held->key = std::move(key);
  held->holder = std::move(holder);
  held->epoch = fmt::format("{}", epoch);
  const std::lock_guard lock(mutex_);
  held_.push_back(held);
  return held;
}

void LeaseKeeper::Loop() {
  while (!stop_.WaitFor(std::max(lease_ / 3, std::chrono::milliseconds(1)))) RenewAll();
}

void LeaseKeeper::RenewAll() {
  std::vector<std::shared_ptr<Held>> held;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(held_, [](const auto& weak) { return weak.expired(); });
    for (const auto& weak : held_) {
      if (auto alive = weak.lock(); alive != nullptr && !alive->lost) held.push_back(alive);
    }
  }
  if (held.empty()) return;
  auto connection = flow_->Acquire();
  if (!connection.ok()) return;  // Redis is away: its readers notice and wait for it
  const std::string lease = fmt::format("{}", lease_.count());
  for (const auto& each : held) {
    const auto renewed = renew_.Run(**connection, {each->key}, {each->holder, each->epoch, lease});
    if (ErrorReason(FromScript(renewed.status())) == "LEASE_LOST") each->lost = true;
  }
}

}  // namespace yagura::stream
