#pragma once

#include <chrono>
#include <memory>
#include <stop_token>
#include <thread>
#include <vector>

#include "common/clock/clock.h"
#include "common/log/log.h"
#include "services/archive/storage/tiering.h"

namespace yagura::eventstore {
class Client;
}

namespace yagura::archive {

// Brings events that were stored under other settings to the volume where they belong, a day at a
// time with a pause after each. Replicas each have volumes of their own, so it asks each server.
class TierMover {
 public:
  struct Pace {
    std::chrono::milliseconds between_days{5'000};
    std::chrono::milliseconds when_done{600'000};
  };

  TierMover(std::vector<std::shared_ptr<eventstore::Client>> servers,
            std::shared_ptr<const Clock> clock, Tiering tiering, Pace pace, Logger logger);
  ~TierMover();  // stops
  // Nothing happens without a storage policy in the settings.
  void Start();
  // Waits for a move that is under way.
  void Stop();

 private:
  void Run(const std::stop_token& stop);
  // How long to wait then.
  std::chrono::milliseconds Turn();
  // Whether a day was moved.
  bool MoveOn(eventstore::Client& server);

  const std::vector<std::shared_ptr<eventstore::Client>> servers_;
  const std::shared_ptr<const Clock> clock_;
  const Tiering tiering_;
  const Pace pace_;
  const Logger logger_;
  std::jthread thread_;
};

}  // namespace yagura::archive
