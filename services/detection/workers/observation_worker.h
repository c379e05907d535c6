#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/log/log.h"
#include "common/store/store.h"
#include "common/timer/timer.h"
#include "services/detection/domain/observation/destinations.h"
#include "services/detection/storage/finding_sink.h"
#include "services/detection/storage/observation_store.h"
#include "services/detection/workers/observation_data.h"
#include "yagura/detection/v1/placeholder.pb.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::detection {

// The tenant's own policy, else the provider's, else what holds where nothing was set; without
// defaults filled in, and without an etag where it is not the tenant's own.
absl::StatusOr<v1::ObservationPolicy> PolicyOf(const store::Store<v1::ObservationPolicy>& policies,
                                               const std::string& tenant);

// Judges the hours of all tenants once they are over and `lateness` has passed: a durable timer a
// tenant, in the queue "observation", which any process works on. An hour is judged, its findings
// are put, then the state with the hour is saved where no other process was first: after a kill at
// any point the same hour is judged again, and gives findings of the same ids. A tenant's hours
// come in order, also those that were over while nothing ran; what was not judged for `catch_up` is
// passed over.
class ObservationWorker {
 public:
  struct Options {
    std::chrono::milliseconds lateness{15 * 60'000};
    std::chrono::hours catch_up{72};
    // For so long after a time in which nobody judged anything hours wait that were over meanwhile,
    // and those of a tenant after archive could not be asked about it: what relays and devices kept
    // until then, and what archive has not stored yet, is on its way. All processes know of it.
    std::chrono::milliseconds settle{15 * 60'000};
    // Shorter times, as of a process that is begun again, make nobody wait: `lateness` is for
    // those.
    std::chrono::milliseconds gone{2 * 60'000};
    std::chrono::milliseconds look_for_tenants{5'000};
    std::string instance;  // as TimerWorker::Options::instance
  };
  struct Parts {
    std::shared_ptr<redis::Pool> state;
    std::shared_ptr<const ObservationData> data;
    std::shared_ptr<FindingSink> sink;
    store::Store<v1::ObservationPolicy> policies;
    store::Store<v1::Placeholder> placeholders;
    std::shared_ptr<const Clock> clock;
    Logger logger;
  };
  ObservationWorker(Parts parts, Options options);
  ~ObservationWorker();  // stops

  void Start();
  void Stop();

  // The next hour of a tenant, where it is due. False: it is not yet.
  absl::StatusOr<bool> JudgeNext(const std::string& tenant);

 private:
  struct Turn;  // one hour of one tenant
  enum class Next { kJudged, kNothingDue, kWaits };
  absl::StatusOr<Next> JudgeWhatIsNext(const std::string& tenant);
  absl::Status Handle(const timer::Timer& timer);
  int64_t LastOver() const;
  void Settle(const std::string& tenant) const;
  absl::StatusOr<bool> IsSettled(const std::string& tenant);
  void TellThatItRuns();
  absl::Status Judge(const std::string& tenant, int64_t hour, const v1::ObservationPolicy& policy,
                     Matters& matters);
  absl::Status GoOnWithout(const std::string& tenant, const absl::Status& status) const;
  absl::Status JudgeMeasures(Turn& turn);
  absl::Status FindEvents(const Turn& turn, DeviationFacts& facts) const;
  absl::StatusOr<std::vector<v1::Evidence>> EventsOf(const Turn& turn, const std::string& filter,
                                                     archive::v1::TimeBasis basis,
                                                     std::chrono::hours span) const;
  absl::Status FindNewDestinations(Turn& turn);
  absl::Status FindBeaconsOf(Turn& turn);
  absl::StatusOr<AddressSet> AddressesOf(const std::string& tenant, const char* placeholder) const;
  void LookForTenants();
  void Work();

  const Parts parts_;
  const Options options_;
  const ObservationStore store_;
  timer::TimerQueue queue_;
  timer::TimerWorker timers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;  // guarded by mutex_
  TimePoint settled_{};    // of all tenants; guarded by mutex_
  std::thread thread_;
};

}  // namespace yagura::detection
