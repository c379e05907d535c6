#pragma once

#include <chrono>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"

#include "services/archive/storage/pause_store.h"
#include "yagura/backup/v1/manifest.pb.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::cli {

// A stretch of time in which no process writes to the event store, with nothing half done: what is
// in the store is what the cursors in the flow Redis and the positions in the state Redis say.
// Intake goes on all the while, into the flow Redis. Ends with the object, ten seconds after a
// kill, and after a minute and a half in any case.
class QuietTime {
 public:
  struct Parts {
    std::shared_ptr<redis::Pool> state;
    std::shared_ptr<redis::Pool> flow;
  };
  // Returns once all are at rest. FAILED_PRECONDITION: PAUSE_HELD (another backup), STORE_BEHIND
  // (something that was begun does not come to its end: the event store is down or refuses it),
  // NO_ARCHIVE (nobody who writes is there, or he is of a release that knows no pause).
  static absl::StatusOr<std::unique_ptr<QuietTime>> Begin(Parts parts, const std::stop_token& stop);
  ~QuietTime();

  // ABORTED (PAUSE_OVER) where it was not quiet all the time since Begin: the pause has ended, or
  // somebody who rested has left.
  absl::Status StillQuiet() const;
  void End();
  std::chrono::milliseconds length() const;
  // How far the event store has come, by shard.
  const std::vector<backup::v1::ShardPosition>& shards() const { return shards_; }

 private:
  explicit QuietTime(Parts parts);
  void KeepUp();
  absl::Status AwaitRest(const std::stop_token& stop);
  // UNAVAILABLE (STORE_BEHIND) names what is not finished.
  absl::Status CheckFinished();
  absl::Status CheckShard(int shard);

  const Parts parts_;
  const std::string id_;
  const archive::PauseStore pause_;
  const std::chrono::steady_clock::time_point begun_;
  std::chrono::steady_clock::time_point ended_{};
  std::set<std::string> resting_;  // who came to rest
  std::vector<backup::v1::ShardPosition> shards_;
  std::jthread renewing_;
};

// Id of the last entry of the shard that `reader` has committed; empty where there is no stream.
absl::StatusOr<std::string> CommittedEntry(redis::Pool& flow, std::string_view topic, int shard,
                                           std::string_view reader);

}  // namespace yagura::cli
