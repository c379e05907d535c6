#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/log/log.h"

namespace yagura::archive {

// Something to be done to the days of stored events, one after the other with a pause after each:
// to move them to another volume, to make their indexes. A step for each server where replicas each
// have of their own what it is about (volumes).
class DayChore {
 public:
  // Does it to one day. The day, or empty where nothing is left to do for now.
  using Step = std::function<absl::StatusOr<std::string>(TimePoint now)>;
  struct Pace {
    std::chrono::milliseconds between_days{5'000};
    std::chrono::milliseconds when_done{600'000};
  };
  struct Words {  // for the log
    std::string done;
    std::string failed;
  };

  DayChore(std::vector<Step> steps, std::shared_ptr<const Clock> clock, Pace pace, Words words,
           Logger logger);
  ~DayChore();  // stops
  // Nothing happens without steps.
  void Start();
  // Waits for a step that is under way.
  void Stop();

 private:
  void Run(const std::stop_token& stop);
  // How long to wait then.
  std::chrono::milliseconds Turn();
  // Whether it was done to a day.
  bool Take(const Step& step) const;

  const std::vector<Step> steps_;
  const std::shared_ptr<const Clock> clock_;
  const Pace pace_;
  const Words words_;
  const Logger logger_;
  std::jthread thread_;
};

}  // namespace yagura::archive
