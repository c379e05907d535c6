#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
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
#include "services/archive/domain/time_window.h"
#include "yagura/archive/v1/legal_hold.pb.h"

namespace yagura::eventstore {
class Client;
}
namespace yagura::redis {
class Pool;
}

namespace yagura::archive {

class Retention;

// How holds are kept in the state Redis.
store::Kind LegalHoldKind();

// Sees to it that held events stay, and that released ones go as their retention says. Inserts are
// told of the holds through Retention; what is stored already gets another `expires`, a day
// (partition) at a time. Every process does this for its own inserts, and one at a time for what is
// stored. Thread-safe.
class HoldKeeper {
 public:
  struct Options {
    std::chrono::milliseconds interval{60'000};
    // So long after a hold was made or released somebody may still insert without knowing: it is
    // looked at again until then.
    std::chrono::milliseconds settle{180'000};
    // What is released goes no sooner than this, so that a hold that is made meanwhile still finds
    // it.
    std::chrono::seconds grace{3'600};
  };
  struct Parts {
    std::shared_ptr<redis::Pool> state;
    std::shared_ptr<eventstore::Client> client;
    Retention& retention;
    std::shared_ptr<const Clock> clock;
    Logger logger;
  };
  HoldKeeper(const Parts& parts, store::Store<v1::LegalHold> holds, Options options);
  ~HoldKeeper();  // stops

  // Tells Retention of the active holds. Before anything is inserted or deleted.
  absl::Status Load();
  // Load, and what follows from it for what is stored.
  absl::Status Turn();
  void Start();
  void Stop();
  // A turn at once.
  void Wake();

 private:
  using Hold = v1::LegalHold;
  absl::StatusOr<std::vector<Hold>> ReadAll() const;
  absl::Status Apply(const Hold& hold);
  absl::Status Settle(const Hold& hold);
  // Events that a released hold kept and that no other one keeps, as of now.
  absl::StatusOr<std::string> Unheld(const std::string& tenant) const;
  // The days (partitions) with events of the hold for which `condition` is true.
  absl::StatusOr<std::vector<std::string>> DaysWith(const Hold& hold,
                                                    const std::string& condition) const;
  // `condition` is asked anew for each day: a day may take long.
  using Condition = std::function<absl::StatusOr<std::string>()>;
  absl::Status SetExpiry(const Hold& hold, const std::string& expiry, const Condition& condition);
  bool HasSettled(const google::protobuf::Timestamp& since) const;
  void Run(const std::stop_token& stop);

  const Parts parts_;
  store::Store<Hold> holds_;
  const Options options_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool woken_ = false;  // guarded by mutex_
  std::jthread thread_;
};

}  // namespace yagura::archive
