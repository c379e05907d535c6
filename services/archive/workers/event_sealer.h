#pragma once

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"

#include "common/auth/token.h"
#include "common/clock/clock.h"
#include "common/log/log.h"
#include "services/archive/storage/proof_store.h"

namespace yagura::archive {

// Chains the units of each tenant and day that no head has yet, and signs the ends, once a minute.
// Several processes may: of two heads with the same number the store keeps the first, and what the
// other one had is sealed in the next turn.
class EventSealer {
 public:
  struct Options {
    std::chrono::milliseconds interval{60'000};
    // What was stored so long before the start is looked for; what lay there unsealed for longer
    // stays so, and verification tells of it.
    std::chrono::hours look_back{24 * 7};
  };
  EventSealer(const ProofStore& store, auth::SigningKey key, std::shared_ptr<const Clock> clock,
              Options options, Logger logger);
  ~EventSealer();  // stops

  // Seals what is there.
  absl::Status Turn();
  void Start();
  void Stop();

 private:
  absl::Status SealAll(const std::vector<EventUnit>& units);
  absl::Status Seal(const std::vector<EventUnit>& units);  // of one tenant and day
  void Run(const std::stop_token& stop);

  const ProofStore& store_;
  const auth::SigningKey key_;
  const std::shared_ptr<const Clock> clock_;
  const Options options_;
  const Logger logger_;
  TimePoint since_;  // everything stored before has a head; one turn at a time
  std::jthread thread_;
};

}  // namespace yagura::archive
