#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/redis/script.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::archive {

// How processes that insert events agree on which legal holds they go by, in the state Redis: every
// change of holds begins a round, and each process announces up to which round it knows all holds
// and has no insert under way that knows fewer. No clock of any host is part of it. Thread-safe.
class HoldRounds {
 public:
  explicit HoldRounds(std::shared_ptr<redis::Pool> state);

  // After holds were made or released: the round in which everybody reads them anew.
  absl::StatusOr<uint64_t> Begin() const;
  // `member` (unlike all others, new at each start) may insert, and knows `round`; 0: none yet. The
  // round of now. To be called again and again: who is not heard of is taken for gone.
  absl::StatusOr<uint64_t> Announce(const std::string& member, uint64_t round) const;
  // It inserts nothing any more.
  absl::Status Leave(const std::string& member) const;

  struct State {
    uint64_t now = 0;                  // lower than a round that was begun: Redis lost it
    std::vector<std::string> lagging;  // members that do not know the round yet
  };
  // Who was not heard of for `gone` does not count any more.
  absl::StatusOr<State> Look(uint64_t round, std::chrono::milliseconds gone) const;

 private:
  const std::shared_ptr<redis::Pool> state_;
  const redis::Script announce_;
  const redis::Script look_;
};

}  // namespace yagura::archive
