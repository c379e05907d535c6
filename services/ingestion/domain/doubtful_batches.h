#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>
#include <unordered_map>

#include "common/clock/clock.h"

namespace yagura::ingestion {

// Batches of which it is not known whether the streams have them: their appending failed, and they
// may be there, uncounted. Bounded: those that nobody sends again go after a while, the oldest
// where there are too many. Not thread-safe.
class DoubtfulBatches {
 public:
  // `remember`: for as long as the streams know a batch again, at least.
  explicit DoubtfulBatches(size_t most = 1 << 16,
                           std::chrono::hours remember = std::chrono::hours(30))
      : most_(most), remember_(remember) {}

  void Note(std::string_view key, SteadyTime now);
  // Whether it was noted; it is not any more.
  bool Take(std::string_view key, SteadyTime now);
  size_t size() const { return since_.size(); }

 private:
  struct Noted {
    SteadyTime at;
    uint64_t hash;
  };
  void Forget(SteadyTime now);
  void DropOldest();

  const size_t most_;
  const std::chrono::hours remember_;
  std::unordered_map<uint64_t, SteadyTime> since_;  // by hash of the key
  std::deque<Noted> order_;  // the oldest first; some may be taken, or noted anew
};

}  // namespace yagura::ingestion
