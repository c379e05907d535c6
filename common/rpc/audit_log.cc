#include "common/rpc/audit_log.h"

#include <algorithm>
#include <utility>

#include "common/status/status.h"

namespace yagura::rpc {
namespace {

constexpr size_t kMaxWaiting = 20'000;
constexpr size_t kMaxBatch = 256;
constexpr std::chrono::milliseconds kGather{50};  // so that a burst is one round trip
constexpr std::chrono::milliseconds kRetry{1000};

}  // namespace

AuditLog::AuditLog(Append append, MetricsRegistry& metrics, Logger logger)
    : append_(std::move(append)),
      recorded_(metrics.GetCounter("yagura_rpc_audit_records_total",
                                   "Reads, searches and denials put on record.")),
      lost_(metrics.GetCounter("yagura_rpc_audit_records_lost_total",
                               "Reads, searches and denials that could not be put on record.")),
      logger_(std::move(logger)),
      thread_([this] { Work(); }) {}

AuditLog::~AuditLog() { Stop(); }

void AuditLog::Add(audit::v1::Record record) {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kMaxWaiting) {
      lost_->Add();
      return;
    }
    waiting_.push_back(std::move(record));
  }
  wake_.notify_one();
}

void AuditLog::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::vector<audit::v1::Record> AuditLog::NextBatch(std::unique_lock<std::mutex>& lock) {
  wake_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
  if (!stopping_) wake_.wait_for(lock, kGather, [this] { return stopping_; });
  std::vector<audit::v1::Record> batch;
  const size_t count = std::min(waiting_.size(), kMaxBatch);
  batch.reserve(count);
  for (size_t i = 0; i < count; ++i) batch.push_back(waiting_[i]);
  return batch;
}

void AuditLog::Work() {
  std::unique_lock lock(mutex_);
  int failures = 0;
  for (;;) {
    const auto batch = NextBatch(lock);
    if (batch.empty()) return;
    lock.unlock();
    const absl::Status status = append_(batch);
    lock.lock();
    if (status.ok()) {
      waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(batch.size()));
      recorded_->Add(static_cast<double>(batch.size()));
      failures = 0;
      continue;
    }
    if (++failures == 1) {
      logger_.Warning("audit records wait", {{"reason", Message(status)}});
    }
    if (stopping_ && failures >= 2) break;
    wake_.wait_for(lock, kRetry, [this] { return stopping_; });
  }
  lost_->Add(static_cast<double>(waiting_.size()));
  logger_.Error("audit records were lost at the stop", {{"records", waiting_.size()}});
}

}  // namespace yagura::rpc
