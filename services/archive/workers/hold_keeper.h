#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/log/log.h"
#include "common/store/store.h"
#include "common/stream/lease_keeper.h"
#include "services/archive/storage/hold_rounds.h"
#include "services/archive/storage/job_lease.h"
#include "yagura/archive/v1/legal_hold.pb.h"

namespace yagura::eventstore {
class Client;
}
namespace yagura::redis {
class Pool;
}

namespace yagura::archive {

class ProofStore;
class Retention;

// Sees to it that held events stay, and that released ones go as their retention says: what is
// stored already gets another `expires`, a day (partition) at a time, and so do its digests and
// heads. Done twice for each change: at once, and when all processes that insert know it
// (HoldRounds), so that nothing came in behind. One process at a time does this, under a fenced
// lease. Thread-safe.
class HoldKeeper {
 public:
  struct Options {
    std::string holder;  // of the lease; empty: one of its own
    std::chrono::milliseconds interval{60'000};
    // While something is to be done.
    std::chrono::milliseconds retry{5'000};
    std::chrono::milliseconds lease{20'000};
    // A turn waits so long for those that insert.
    std::chrono::milliseconds patience{10'000};
    // Who was not heard of for so long has no insert under way any more: the lease of HoldWatcher,
    // and what an insert with its digests may take.
    std::chrono::milliseconds gone{120'000 + 300'000};
    // What active holds keep is looked at again so often: a process that stood still may have come
    // to life with a change that it was about to make. Sooner than `grace`.
    std::chrono::milliseconds recheck{std::chrono::minutes(20)};
    // What is released goes no sooner than this, so that a hold that is made meanwhile still finds
    // it.
    std::chrono::seconds grace{3'600};
  };
  struct Parts {
    std::shared_ptr<redis::Pool> state;
    std::shared_ptr<eventstore::Client> client;
    const HoldRounds& rounds;
    const ProofStore& proofs;
    const Retention& retention;
    std::shared_ptr<const Clock> clock;
    Logger logger;
  };
  HoldKeeper(Parts parts, store::Store<v1::LegalHold> holds, Options options);
  ~HoldKeeper();  // stops

  // What there is to do, as far as those that insert know of it. ABORTED (LEASE_LOST): another
  // goes on with it.
  absl::Status Turn();
  void Start();
  void Stop();
  // A turn at once.
  void Wake();

 private:
  using Hold = v1::LegalHold;
  // What `expires` becomes on a day (since 1970), and of which events: asked anew for each day, as
  // a day may take long.
  struct Change {
    std::function<absl::StatusOr<std::string>(int64_t day)> expiry;
    std::function<absl::StatusOr<std::string>()> condition;
  };
  using Pass = std::function<absl::Status(const Hold&)>;

  absl::Status Work(const std::vector<Hold>& all, bool recheck);
  absl::Status Do(const Hold& hold);
  // Makes the change to all that is stored, so that nothing can come in behind: then true.
  absl::StatusOr<bool> Twice(const Hold& hold, const Pass& pass);
  absl::StatusOr<bool> EverybodyKnows(const Hold& hold);
  absl::Status Keep(const Hold& hold);
  absl::Status LetGo(const Hold& hold);
  absl::Status Mark(const Hold& hold);
  // The active holds of the tenant as of now.
  absl::StatusOr<std::vector<Hold>> ActiveOf(const std::string& tenant) const;
  // Events that a released hold kept and that no other one keeps, as of now.
  absl::StatusOr<std::string> Unheld(const std::string& tenant) const;
  // The days with events of the hold for which `condition` is true.
  absl::StatusOr<std::vector<int64_t>> DaysWith(const Hold& hold,
                                                const std::string& condition) const;
  absl::Status SetExpiry(const Hold& hold, const Change& change);
  absl::Status Fence() const;
  bool IsBusy();
  void Run(const std::stop_token& stop);

  const Parts parts_;
  store::Store<Hold> holds_;
  const Options options_;
  const JobLease lease_;
  stream::LeaseKeeper renewer_;
  std::mutex turn_mutex_;
  uint64_t epoch_ = 0;                                  // guarded by turn_mutex_, as what follows
  bool open_ = false;                                   // something is to be done yet
  std::map<std::string, uint64_t> rounds_;              // by hold and state
  std::chrono::steady_clock::time_point next_recheck_;  //
  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool woken_ = false;  // guarded by mutex_
  std::jthread thread_;
};

}  // namespace yagura::archive
