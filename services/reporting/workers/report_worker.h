#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"

#include "common/blob/blob_store.h"
#include "common/clock/clock.h"
#include "common/log/log.h"
#include "common/store/store.h"
#include "common/timer/timer.h"
#include "yagura/reporting/v1/report.pb.h"

namespace yagura::rpc {
class Channels;
}

namespace yagura::reporting {

// Makes the reports that were asked for, also those left over from before a restart. A report whose
// evidence cannot be had for now is tried again for an hour and then FAILED.
class ReportWorker {
 public:
  struct Parts {
    std::shared_ptr<redis::Pool> state;
    std::shared_ptr<store::Store<v1::Report>> reports;
    std::shared_ptr<blob::BlobStore> files;
    std::shared_ptr<rpc::Channels> channels;
    std::shared_ptr<const Clock> clock;
    Logger logger;
    std::string instance;  // as TimerWorker::Options::instance
  };
  ReportWorker(Parts parts, int threads);
  void Start() { timers_.Start(); }
  void Stop() { timers_.Stop(); }
  // Durable once it returns.
  absl::Status Enqueue(const std::string& report);

 private:
  absl::Status Handle(const std::string& name);
  absl::Status Make(const v1::Report& report);
  // Writes what `change` sets, on the worker's own account.
  absl::Status Set(const std::string& name, const std::function<void(v1::Report&)>& change);

  const Parts parts_;
  timer::TimerQueue queue_;
  timer::TimerWorker timers_;
};

}  // namespace yagura::reporting
