#pragma once

#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/redis/script.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::archive {

// A pause of all that is written to the event store, in the flow Redis: who takes a backup asks for
// it, each process that writes tells that it has come to rest. It ends by itself when its time is
// over, whatever becomes of who asked. Thread-safe.
class PauseStore {
 public:
  explicit PauseStore(std::shared_ptr<redis::Pool> flow);

  // Of who wants the pause. `id` was never asked for before: a process may still tell that it rests
  // in an earlier one. FAILED_PRECONDITION (PAUSE_HELD) while
  // somebody else has one.
  absl::Status Ask(std::string_view id, std::chrono::milliseconds length) const;
  // From now on for so long. ABORTED (PAUSE_OVER) where it has ended.
  absl::Status Renew(std::string_view id, std::chrono::milliseconds length) const;
  // Which processes that write rest, and how many have not come to rest yet; ABORTED (PAUSE_OVER)
  // where the pause is no longer that of `id`.
  struct Writers {
    std::set<std::string> resting;
    int64_t awaited = 0;
  };
  absl::StatusOr<Writers> Look(std::string_view id) const;
  absl::Status End(std::string_view id) const;

  // Of a process that writes. Makes it known for a while, with the pause in which it rests (or
  // none), before it looks; the pause that is asked for, empty where none is.
  absl::StatusOr<std::string> Tell(std::string_view process, std::string_view rests_in) const;
  absl::StatusOr<std::string> Asked() const;
  void Leave(std::string_view process) const;

  // Drops pause and processes: of data that came out of a backup.
  static absl::Status Forget(redis::Pool& flow);

 private:
  const std::shared_ptr<redis::Pool> flow_;
  const redis::Script renew_;
  const redis::Script look_;
  const redis::Script end_;
  const redis::Script tell_;
};

}  // namespace yagura::archive
