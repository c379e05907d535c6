#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/log/log.h"
#include "common/timer/timer.h"
#include "services/detection/domain/surroundings.h"
#include "services/detection/storage/hunt_store.h"
#include "services/detection/workers/hunt_archive.h"
#include "services/detection/workers/hunt_run.h"

namespace yagura::detection {

// Works hunts off: one tenant after the other, several at once, also those left over from before a
// restart, which go on from their checkpoints. What cannot be had for now is tried again for an
// hour without progress. Removes hunts that were deleted or kept long enough, with their results.
class HuntWorker {
 public:
  struct Parts {
    std::shared_ptr<redis::Pool> state;
    std::shared_ptr<HuntStore> store;
    std::shared_ptr<HuntArchive> archive;
    std::shared_ptr<const Surroundings> surroundings;
    // What placeholders stand for in rules of a tenant.
    std::function<absl::StatusOr<Placeholders>(const std::string& tenant)> placeholders;
    // Texts of the rules that are tagged with a CVE: the provider's, and the tenant's own.
    std::function<absl::StatusOr<std::vector<std::string>>(const std::string& tenant,
                                                           const std::string& cve)>
        rules_about;
    std::shared_ptr<const Clock> clock;
    Logger logger = Logger::Null();
    std::string instance;  // as TimerWorker::Options::instance
  };
  struct Options {
    int threads = 2;
    std::chrono::hours keep{90 * 24};             // after the end
    std::chrono::milliseconds save_every{2'000};  // the checkpoint
    Windows::Limits windows;
    HuntRun::Options run;
  };
  HuntWorker(Parts parts, Options options);
  ~HuntWorker() { Stop(); }
  void Start() { timers_.Start(); }
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
  // What is done in one tenant.
  struct Task {
    v1::Hunt hunt;
    internal::v1::HuntPlan plan;
    v1::HuntResult result;
    std::string tenant;
  };
  // What is looked for there.
  struct Quarry {
    std::unique_ptr<HuntProbe> probe;
    std::vector<WantedProduct> products;
    std::string digest;
    std::vector<std::string> remarks;
  };

  absl::Status Handle(const timer::Timer& timer);
  absl::Status HandleBegin(const std::string& name);
  absl::Status HandleResult(const std::string& name);
  absl::Status HandleRemove(const std::string& name);
  absl::Status HandleExpiry(const std::string& name);

  absl::Status Forget(const std::string& result);
  bool MayGoOn(const std::string& result, const absl::Status& trouble);
  void NoteProgress(const std::string& result);
  absl::Status Work(Task& task);
  absl::StatusOr<Quarry> QuarryOf(const Task& task) const;
  absl::StatusOr<Quarry> VulnerabilityQuarry(const Task& task) const;
  absl::StatusOr<Checkpoint> CheckpointOf(const Task& task, const Quarry& quarry);
  absl::Status Describe(const Task& task, v1::HuntResult& result);
  absl::Status Fail(const Task& task, const absl::Status& why);
  absl::Status Publish(const Task& task, v1::HuntState state, double progress,
                       const v1::HuntResult& found);
  absl::Status Save(const Checkpoint& checkpoint);
  absl::StatusOr<bool> IsCancelled(const std::string& hunt) const;
  // Brings the hunt up to its results.
  absl::Status Tell(const v1::Hunt& hunt, const internal::v1::HuntPlan& plan);
  store::WriteContext ContextOf(const v1::Hunt& hunt) const;

  const Parts parts_;
  const Options options_;
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::map<std::string, SteadyTime> troubled_since_;  // by result; guarded by mutex_
  timer::TimerQueue queue_;
  timer::TimerWorker timers_;
};

}  // namespace yagura::detection
