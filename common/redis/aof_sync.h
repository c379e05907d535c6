#pragma once

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "absl/status/status.h"

namespace yagura::redis {

// Brings the AOF of a redis-server in `data_folder` to the disk, every `interval`, from outside.
//
// Why not Redis's own "appendfsync everysec": while its background fsync runs, it puts off the
// write itself for up to two seconds and answers all the same, so that a killed process, not only a
// lost host, loses what was acknowledged. With "appendfsync no" every write precedes its answer,
// and with this beside it a lost host loses no more than about `interval`.
class AofSync {
 public:
  AofSync(const std::filesystem::path& data_folder,
          std::chrono::milliseconds interval = std::chrono::seconds(1));
  ~AofSync();  // syncs once more
  AofSync(const AofSync&) = delete;
  AofSync& operator=(const AofSync&) = delete;

  // One pass now; OK where there is no AOF yet. UNAVAILABLE where the disk fails.
  absl::Status SyncOnce() const;

 private:
  void Loop();

  const std::filesystem::path folder_;
  const std::chrono::milliseconds interval_;
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stop_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace yagura::redis
