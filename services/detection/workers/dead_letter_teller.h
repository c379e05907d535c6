#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"

#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "services/detection/storage/dead_letters.h"
#include "services/detection/storage/finding_sink.h"

namespace yagura::detection {

// Tells of what any reader of the topics gave up: one finding a tenant, stream, reader and hour,
// that counts on. Where the tenant cannot be read, the provider is told. A finding of these that
// cannot be processed itself is told nobody, so that there is no loop. Every process may run one:
// the same dead letters give the same findings.
class DeadLetterTeller {
 public:
  // Of the topics' payloads "events", "hits" and "findings" the tenant is known.
  DeadLetterTeller(std::shared_ptr<redis::Pool> flow, std::shared_ptr<redis::Pool> state,
                   std::vector<stream::Topic> topics, std::shared_ptr<FindingSink> sink,
                   MetricsRegistry& metrics, Logger logger);
  ~DeadLetterTeller();  // stops

  // All that has come since the last time, also in another process.
  absl::Status TellOnce();
  // Every second on a thread of its own.
  void Start();
  void Stop();

 private:
  absl::StatusOr<size_t> TellSome();
  void Work();

  const DeadLetters letters_;
  const std::shared_ptr<redis::Pool> state_;
  const std::vector<stream::Topic> topics_;
  const std::shared_ptr<FindingSink> sink_;
  Gauge* const kept_;
  Gauge* const dropped_;
  const Logger logger_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace yagura::detection
