#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"

#include "common/clock/clock.h"
#include "common/log/log.h"
#include "common/store/store.h"
#include "common/timer/timer.h"
#include "services/detection/storage/rule_versions.h"
#include "yagura/detection/v1/rule.pb.h"

namespace yagura::detection {

// Forgets the texts of rules that were deleted long ago: at every start and once a day, in one
// process at a time. Thread-safe.
class RuleVersionKeeper {
 public:
  struct Options {
    std::chrono::hours keep;  // after a sweep saw first that the rule is gone
    std::string instance;     // as TimerWorker::Options
  };
  RuleVersionKeeper(std::shared_ptr<redis::Pool> state, RuleVersions versions,
                    store::Store<v1::Rule> rules, Options options,
                    std::shared_ptr<const Clock> clock, Logger logger);

  void Start();
  // Lets a sweep in progress finish.
  void Stop();
  // One sweep over all tenants. UNAVAILABLE (Redis).
  absl::Status Sweep() const;

 private:
  absl::Status SweepAndGoOn();

  const std::shared_ptr<redis::Pool> state_;
  const RuleVersions versions_;
  const store::Store<v1::Rule> rules_;
  const std::chrono::hours keep_;
  const std::shared_ptr<const Clock> clock_;
  const Logger logger_;
  timer::TimerQueue queue_;
  timer::TimerWorker timers_;
};

}  // namespace yagura::detection
