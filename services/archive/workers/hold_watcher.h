#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"

#include "common/log/log.h"
#include "common/store/store.h"
#include "services/archive/storage/hold_rounds.h"
#include "yagura/archive/v1/legal_hold.pb.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::archive {

class Retention;

// How holds are kept in the state Redis.
store::Kind LegalHoldKind();
// Of all tenants.
absl::StatusOr<std::vector<v1::LegalHold>> ReadHolds(redis::Pool& state,
                                                     const store::Store<v1::LegalHold>& holds);

// Tells the inserts of this process which holds are active, within about a second of their change,
// and the others (HoldRounds) once none of its inserts goes by older ones. Inserts stop where that
// cannot be told for `lease`: by then the others take this process for gone. Thread-safe.
class HoldWatcher {
 public:
  struct Options {
    std::chrono::milliseconds poll{1'000};
    // Holds are read anew so often though no round began.
    std::chrono::milliseconds reload{60'000};
    std::chrono::milliseconds lease{120'000};
  };
  struct Parts {
    std::shared_ptr<redis::Pool> state;
    const HoldRounds& rounds;
    Retention& retention;
    Logger logger;
  };
  HoldWatcher(Parts parts, store::Store<v1::LegalHold> holds, Options options);
  ~HoldWatcher();  // stops

  // One look. The first must come before anything is inserted.
  absl::Status Turn();
  void Start();
  // After the last insert.
  void Stop();
  // A look at once.
  void Wake();

  const std::string& member() const { return member_; }

 private:
  void Run(const std::stop_token& stop);

  const Parts parts_;
  const store::Store<v1::LegalHold> holds_;
  const Options options_;
  const std::string member_;
  std::mutex turn_mutex_;
  std::optional<uint64_t> loaded_;                     // guarded by turn_mutex_, as what follows:
  uint64_t known_ = 0;                                 // announced
  std::chrono::steady_clock::time_point next_reload_;  //
  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool woken_ = false;  // guarded by mutex_
  std::jthread thread_;
};

}  // namespace yagura::archive
