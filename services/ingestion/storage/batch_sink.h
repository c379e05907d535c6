#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"

#include "common/log/log.h"
#include "services/ingestion/domain/doubtful_batches.h"
#include "services/ingestion/domain/intake.h"
#include "services/ingestion/storage/spool.h"

namespace yagura::stream {
class Producer;
}

namespace yagura::ingestion {

class IngestionMetrics;
class RequestMemory;

// Where batches go: to the event streams of the flow Redis, and while that cannot take them to the
// spool, from which a thread of its own replays them in order as soon as it can again. Thread-safe.
class BatchSink {
 public:
  // `requests` may be null: then a request is known again by its batches alone.
  BatchSink(std::shared_ptr<stream::Producer> producer, std::unique_ptr<Spool> spool,
            std::shared_ptr<IngestionMetrics> metrics, Logger logger,
            std::shared_ptr<RequestMemory> requests = nullptr);
  ~BatchSink();  // stops
  void Start();
  void Stop();

  // Takes the batches off `batches` as they are durable, in the stream or in the spool. What stays
  // there was refused by both: offer it again, or give it up with Lose.
  void Deliver(std::vector<ReadyBatch>& batches);
  // Straight to the streams, without the spool; for senders that resend what was not acknowledged.
  // Counts as received what the streams did not have yet, and adds how many batches that were to
  // `fresh` (may be null), also where it fails. `request` (may be empty: it never comes again) is
  // what the batches were made of, a digest of its sender, id and content: where the streams have
  // all of it, nothing is appended, whatever batches its lines would be by now. Errors are such as
  // senders may see; what Redis said is in the log.
  absl::Status Append(const std::vector<ReadyBatch>& batches, size_t* fresh = nullptr,
                      std::string_view request = {});
  // Counts what is given up.
  void Lose(const std::vector<ReadyBatch>& batches);

  // Whether the streams take batches: where not, stop reading from senders that wait.
  bool flowing() const { return flowing_.load(std::memory_order_relaxed); }
  // Waits until flowing, at most so long.
  bool WaitFlowing(std::chrono::milliseconds timeout);
  // OK, or why the streams take nothing.
  absl::Status health() const;

 private:
  absl::Status AppendAll(const std::vector<ReadyBatch>& batches, std::string_view request,
                         size_t* fresh);
  // How many of the first batches are in the streams; an error about the next one.
  absl::Status AppendSome(const std::vector<ReadyBatch>& batches, bool may_repeat, size_t* done,
                          size_t* fresh);
  // All batches of a request in one round trip; FAILED_PRECONDITION where that is not to be had.
  absl::Status AppendAtOnce(const std::vector<ReadyBatch>& batches, std::string_view request,
                            size_t* fresh);
  // Whether it was not known whether the streams have the batch, or request.
  bool WasInDoubt(std::string_view key);
  void Doubt(std::string_view key);
  void NoteRefusal(const absl::Status& status);  // under the mutex
  void Replay(const std::stop_token& stop);
  void TellDamages();  // under the mutex
  // One record; false where there is none left or it could not be delivered.
  bool ReplayOne();

  const std::shared_ptr<stream::Producer> producer_;
  const std::shared_ptr<IngestionMetrics> metrics_;
  const Logger logger_;
  const std::shared_ptr<RequestMemory> requests_;
  std::atomic<bool> flowing_{true};
  std::atomic<bool> append_failed_{false};  // by Redis, the last time
  mutable std::mutex mutex_;                // of all below
  std::condition_variable changed_;
  std::unique_ptr<Spool> spool_;
  absl::Status last_error_;
  std::mutex doubt_mutex_;
  DoubtfulBatches in_doubt_;
  std::jthread replayer_;
};

}  // namespace yagura::ingestion
