#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/log/log.h"
#include "common/stream/topic.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::stream {

// Reads all shards of a topic under leases and hands entries to a handler, each shard in order, on
// threads of its own. At least once: the handler's effect must be idempotent by Entry::key. The
// pool needs a connection for each thread and two more. Outages of the flow Redis are waited out.
class Worker {
 public:
  struct Context {
    int shard;
    uint64_t epoch;
  };
  // Handles an entry that has failed its last attempt piece by piece (see bisect.h): all but the
  // pieces that it answers have taken effect, and have it once however often this is called, as
  // after a kill. UNAVAILABLE, RESOURCE_EXHAUSTED: asked again after a pause. Any other error: the
  // entry is given up whole.
  using Splitter =
      std::function<absl::StatusOr<std::vector<DeadPiece>>(const Context&, const Entry&)>;
  struct Options {
    std::string reader;
    // Empty: made from host, process id and a random number. A name that no other process has, and
    // that is given again after a restart, takes its shards back at once, under a higher epoch.
    std::string holder;
    // After a kill another holder goes on within this time. Renewed in the background as long as
    // the process lives, however long a handler takes.
    std::chrono::milliseconds lease{8'000};
    size_t max_entries = 64;
    size_t max_bytes = 4 << 20;
    int threads = 1;  // shards are spread over them, and over all processes that run this reader
    // How often one batch may fail before it is bisected down to the entry at fault. Where the
    // entry can be split, its pieces at fault go to the dead-letter stream "y:{s<k>}:dead:<topic>"
    // with their errors, else the whole entry. UNAVAILABLE and RESOURCE_EXHAUSTED never count: what
    // is full today is no fault of the entry.
    int max_attempts = 5;
    Splitter split;  // none: entries are given up whole
  };
  // OK: done with all of them, the cursor moves past. UNAVAILABLE, RESOURCE_EXHAUSTED: tried again
  // after a pause. Any other error counts as an attempt.
  using Handler = std::function<absl::Status(const Context&, const std::vector<Entry>&)>;
  // Told about each entry that goes to the dead letters, before it does (may raise a finding); of a
  // piece about an entry with the piece's key and payload. After a kill in between it is told
  // again.
  using DeadLetterHook = std::function<void(const Context&, const Entry&, const absl::Status&)>;

  Worker(std::shared_ptr<redis::Pool> flow, Topic topic, Options options, Handler handler,
         DeadLetterHook on_dead_letter, Logger logger);
  ~Worker();  // stops
  void Start();
  // Lets the handler in progress finish, commits it, releases the leases.
  void Stop();

  // Entries not yet committed by this reader, over all shards (XINFO GROUPS lag).
  absl::StatusOr<uint64_t> Lag() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Removes from every shard what all declared readers have committed, every `interval`; one per
// process is enough, several do no harm. Declared are those of the topic and every other that has a
// group in Redis. While one of the topic's has none, nothing is removed. Also asks for BGREWRITEAOF
// when the AOF is more than four times the memory in use.
class Trimmer {
 public:
  Trimmer(std::shared_ptr<redis::Pool> flow, std::vector<Topic> topics,
          std::chrono::milliseconds interval, Logger logger);
  ~Trimmer();
  void Start();
  void Stop();
  // One pass now; how many entries went.
  absl::StatusOr<uint64_t> TrimOnce();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Removes a reader for good: what it has not committed no longer keeps anything from being trimmed.
// Its workers must have been stopped before.
absl::Status RemoveReader(redis::Pool& flow, const Topic& topic, std::string_view reader);

// Makes the reader groups of the topic where they do not exist, at the beginning of the stream: a
// reader declared later starts with what is still there. Called by App before producing.
// FAILED_PRECONDITION (TOPIC_DIFFERS) where somebody has declared it with another number of shards:
// what is in a shard that its readers do not know would never be read.
absl::Status DeclareReaders(redis::Pool& flow, const Topic& topic);

}  // namespace yagura::stream
