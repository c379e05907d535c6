#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/log/log.h"
#include "common/timer/timer.h"
#include "services/detection/storage/hunt_progress.h"
#include "services/detection/storage/hunt_states.h"
#include "services/detection/storage/hunt_store.h"
#include "services/detection/workers/hunt_archive.h"
#include "services/detection/workers/hunt_metrics.h"
#include "services/detection/workers/hunt_quarry.h"
#include "services/detection/workers/hunt_run.h"

namespace yagura::detection {

// Works hunts off: one tenant after the other, several at once, also those left over from before a
// restart, which go on from their checkpoints. What cannot be had for now is tried again for an
// hour without progress, of each tenant by itself and whatever was restarted meanwhile. Removes
// hunts that were deleted or kept long enough, with their results.
//
// Hunts take turns: of each, only as many tenants wait in the queue as there are threads ("lanes"),
// the next one of a lane when one is over; and a tenant whose turn is over goes back behind the
// others. What is written of a tenant is refused where somebody else has gone on with it since.
class HuntWorker {
 public:
  struct Parts {
    std::shared_ptr<redis::Pool> state;
    std::shared_ptr<HuntStore> store;
    std::shared_ptr<HuntArchive> archive;
    HuntQuarries::Parts quarries;
    std::shared_ptr<HuntMetrics> metrics;
    std::shared_ptr<const Clock> clock;
    Logger logger = Logger::Null();
    std::string instance;  // as TimerWorker::Options::instance
  };
  struct Options {
    int threads = 2;
    std::chrono::hours keep{90 * 24};             // after the end
    std::chrono::milliseconds save_every{2'000};  // the checkpoint
    // How long a tenant is worked at while others wait. Hunts under one tenant share a turn.
    std::chrono::milliseconds turn{10'000};
    // For how long a tenant is tried without coming further.
    std::chrono::milliseconds patience{3'600'000};
    // How many tenants of a lane may be in trouble before the next one waits for them.
    size_t troubled = 32;
    // Windows of a correlation that take more, packed, are not kept; from what was kept before
    // whoever goes on begins.
    size_t state_bytes = 8 << 20;
    Windows::Limits windows;
    HuntRun::Options run;
  };
  HuntWorker(Parts parts, Options options);
  ~HuntWorker() { Stop(); }
  void Start();
  // What is under way is left at its checkpoint.
  void Stop();

  // Before the hunt is written: should its maker die in between, it is begun all the same.
  absl::Status Announce(const std::string& hunt);
  // Once hunt and plan are written. Durable once it returns.
  absl::Status Begin(const std::string& hunt);
  // Removes the results of a hunt as soon as it is deleted; to be called before and after that.
  // Where it is not deleted within some seconds, nothing happens.
  absl::Status Remove(const std::string& hunt, bool deleted);

 private:
  using Checkpoint = internal::v1::HuntCheckpoint;
  // What is done in one tenant. `result` is as it was last read or written here.
  struct Task {
    v1::Hunt hunt;
    internal::v1::HuntPlan plan;
    v1::HuntResult result;
    std::string tenant;
    std::string checkpoint_etag;  // as last read or written here; empty: not yet
  };
  // How an attempt at a tenant ended.
  enum class End { kOver, kTurn };

  absl::Status Handle(const timer::Timer& timer);
  absl::Status HandleBegin(const std::string& name);
  absl::Status HandleResult(const std::string& name);
  absl::Status HandleRemove(const std::string& name);
  absl::Status HandleExpiry(const std::string& name);
  absl::Status HandleSweep();

  absl::Status Lose(const v1::Hunt& hunt);
  // A hunt that is over goes when it has been kept long enough.
  absl::Status Expire(const v1::Hunt& hunt);
  absl::Status Forget(const std::string& result);
  absl::Status PassLaneOn(const Task& task);
  absl::StatusOr<bool> LetsOthersPass(const Task& task) const;
  absl::StatusOr<bool> MayGoOn(const Task& task, const absl::Status& trouble);
  absl::StatusOr<End> Work(Task& task);
  absl::StatusOr<End> Read(Task& task, const HuntQuarry& quarry, Checkpoint& checkpoint);
  absl::StatusOr<Checkpoint> CheckpointOf(Task& task, const HuntQuarry& quarry);
  absl::StatusOr<bool> GoOn(const Task& task, const Checkpoint& from, HuntProbe& probe) const;
  absl::Status Describe(const Task& task, v1::HuntResult& result);
  absl::Status Fail(Task& task, const absl::Status& why);
  absl::Status Publish(Task& task, v1::HuntState state, double progress,
                       const v1::HuntResult& found);
  absl::Status Save(Task& task, Checkpoint& checkpoint);
  struct Keeping;
  absl::StatusOr<bool> Keep(Task& task, HuntProbe& probe, Checkpoint& checkpoint, Keeping& last);
  absl::StatusOr<bool> IsCancelled(const std::string& hunt) const;
  absl::StatusOr<std::chrono::milliseconds> TurnOf(const v1::Hunt& hunt) const;
  // Brings the hunt up to the task's result.
  absl::Status Tell(const Task& task);
  absl::StatusOr<HuntProgress::Sum> Fill(const Task& task);
  store::WriteContext ContextOf(const v1::Hunt& hunt) const;

  const Parts parts_;
  const Options options_;
  const HuntQuarries quarries_;
  const HuntProgress progress_;
  const HuntStates states_;
  std::atomic<bool> stopping_{false};
  timer::TimerQueue queue_;
  timer::TimerWorker timers_;
};

}  // namespace yagura::detection
