#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <thread>

#include "absl/status/status.h"

#include "common/clock/clock.h"
#include "common/log/log.h"
#include "services/ingestion/domain/coverage_ledger.h"

namespace yagura::stream {
class Producer;
}

namespace yagura::ingestion {

class CurrentSources;

// Tells on the topic "coverage" what the ledger counted. What has not been told yet is kept in a
// file every two seconds, so that a process that was killed, or could not reach the flow Redis,
// has it told after its restart.
class CoverageReporter {
 public:
  struct Options {
    std::chrono::milliseconds interval{10'000};  // at least; longer where there are many sources
    std::filesystem::path file;
  };
  struct Parts {
    std::shared_ptr<CoverageLedger> ledger;
    std::shared_ptr<CurrentSources> sources;
    std::shared_ptr<stream::Producer> topic;
    std::shared_ptr<const Clock> clock;
    Logger logger;
  };
  CoverageReporter(Options options, Parts parts);
  ~CoverageReporter();  // stops
  // Tells first what an earlier process left.
  void Start();
  // Tells what there is, or keeps it in the file.
  void Stop();

  // One turn now: whatever the interval, where `tell`.
  void Turn(bool tell);

 private:
  void Run(const std::stop_token& stop);
  void FollowSources();
  absl::Status TellLeftOver();
  absl::Status Tell(const v1::CoverageReport& report) const;
  void TellAll();
  void Keep();

  const Options options_;
  const Parts parts_;
  std::shared_ptr<const void> seen_;  // the map of sources that the ledger knows
  bool left_over_told_ = false;
  bool failing_ = false;
  SteadyTime told_at_{};
  std::jthread thread_;
};

}  // namespace yagura::ingestion
