#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"

#include "common/clock/clock.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/redis/script.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::detection {

// Which findings are to be judged again, as something was missing that they are judged by, and told
// where that changes anything: y:{judging}:detection:unjudged in the state Redis. A finding stays
// there until it has been told, whatever is killed. 100,000 at most: what comes beyond keeps the
// impact that it has, which is counted and logged. Thread-safe.
class UnjudgedFindings {
 public:
  struct Bounds {
    uint64_t most = 100'000;
    Counter* dropped = nullptr;  // those beyond; null: not counted
    Logger logger = Logger::Null();
  };
  UnjudgedFindings(std::shared_ptr<redis::Pool> state, std::shared_ptr<const Clock> clock,
                   Bounds bounds);
  UnjudgedFindings(std::shared_ptr<redis::Pool> state, std::shared_ptr<const Clock> clock)
      : UnjudgedFindings(std::move(state), std::move(clock), Bounds()) {}

  struct One {
    std::string name;
    // What was known and told of it when it was noted, as a digest; empty: nobody knows.
    std::string told;
    std::chrono::nanoseconds age{0};  // since it was noted first
    std::string text;                 // as it is kept
  };
  // Of one that is noted already the first digest stays.
  absl::Status Note(const std::string& name, std::string_view told);
  // In no order; `visit` may Remove. Stops at its first error, and answers that.
  absl::Status ForEach(const std::function<absl::Status(const One&)>& visit) const;
  // Does nothing where it was noted again meanwhile.
  absl::Status Remove(const One& one);

 private:
  const std::shared_ptr<redis::Pool> state_;
  const std::shared_ptr<const Clock> clock_;
  const Bounds bounds_;
  std::atomic<uint64_t> dropped_{0};
  const redis::Script note_;
  const redis::Script remove_;
};

}  // namespace yagura::detection
