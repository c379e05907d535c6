#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"

#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "yagura/audit/v1/audit.pb.h"

namespace yagura::rpc {

// Puts reads, searches, exports and denials on record. They are appended in batches by one thread,
// so that a read costs no write of its own; while Redis is away they wait here, 20,000 of them at
// most. What could not be kept is counted and logged, never hidden. Thread-safe.
class AuditLog {
 public:
  using Append = std::function<absl::Status(const std::vector<audit::v1::Record>&)>;
  AuditLog(Append append, MetricsRegistry& metrics, Logger logger);
  ~AuditLog();  // stops
  void Add(audit::v1::Record record);
  // Appends what waits; gives up after two failures in a row.
  void Stop();

 private:
  void Work();
  std::vector<audit::v1::Record> NextBatch(std::unique_lock<std::mutex>& lock);

  const Append append_;
  Counter* const recorded_;
  Counter* const lost_;
  const Logger logger_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<audit::v1::Record> waiting_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace yagura::rpc
