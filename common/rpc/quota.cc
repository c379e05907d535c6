#include "common/rpc/quota.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace yagura::rpc {
namespace {

constexpr double kBurstSeconds = 2;
constexpr size_t kMaxBuckets = 10'000;
constexpr double kLongestWait = 3'600'000;  // ms

double Seconds(SteadyTime::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

Quota::Quota(double per_second, std::shared_ptr<const Clock> clock)
    : Quota(per_second, per_second * kBurstSeconds, std::move(clock)) {}

Quota::Quota(double per_second, double burst, std::shared_ptr<const Clock> clock)
    : rate_(std::max(per_second, 1e-3)), burst_(std::max(burst, 1.0)), clock_(std::move(clock)) {}

std::chrono::milliseconds Quota::Take(std::string_view key, double amount) {
  const std::lock_guard lock(mutex_);
  Bucket& bucket = Filled(key);
  if (bucket.level <= 0) return WaitFor(bucket);
  bucket.level -= amount;
  return std::chrono::milliseconds(0);
}

void Quota::Give(std::string_view key, double amount) {
  const std::lock_guard lock(mutex_);
  Bucket& bucket = Filled(key);
  bucket.level = std::min(bucket.level + amount, burst_);
}

std::chrono::milliseconds Quota::Charge(std::string_view key, double amount) {
  const std::lock_guard lock(mutex_);
  Bucket& bucket = Filled(key);
  bucket.level -= amount;
  return bucket.level > 0 ? std::chrono::milliseconds(0) : WaitFor(bucket);
}

Quota::Bucket& Quota::Filled(std::string_view key) {
  const SteadyTime now = clock_->SteadyNow();
  auto found = buckets_.find(key);
  if (found == buckets_.end()) {
    if (buckets_.size() >= kMaxBuckets) DropFull(now);
    const Bucket full{burst_, now};
    return buckets_.emplace(std::string(key), full).first->second;
  }
  Bucket& bucket = found->second;
  bucket.level = std::min(bucket.level + Seconds(now - bucket.filled) * rate_, burst_);
  bucket.filled = now;
  return bucket;
}

std::chrono::milliseconds Quota::WaitFor(const Bucket& bucket) const {
  const double wait = std::ceil((-bucket.level / rate_) * 1000) + 1;
  return std::chrono::milliseconds(static_cast<int64_t>(std::min(wait, kLongestWait)));
}

void Quota::DropFull(SteadyTime now) {
  // A full bucket is as good as none. Where nobody's is full, all start anew: memory is bounded.
  std::erase_if(buckets_, [&](const auto& item) {
    return item.second.level + Seconds(now - item.second.filled) * rate_ >= burst_;
  });
  if (buckets_.size() >= kMaxBuckets) buckets_.clear();
}

}  // namespace yagura::rpc
