#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "common/metrics/metrics.h"
#include "common/store/projection.h"
#include "yagura/detection/v1/hunt.pb.h"

namespace yagura::detection {

// What a process tells of the hunts that it works at. Thread-safe.
class HuntMetrics {
 public:
  explicit HuntMetrics(MetricsRegistry& metrics);

  // While it lives a tenant is worked at.
  std::shared_ptr<void> Work();
  void Read(uint64_t events) { events_->Add(static_cast<double>(events)); }
  // What became of a tenant.
  void EndResult(v1::HuntState state);
  // And of a hunt, which took so long.
  void EndHunt(v1::HuntState state, std::chrono::nanoseconds took);

 private:
  std::mutex mutex_;
  int at_work_ = 0;  // guarded by mutex_
  Gauge* const working_;
  Counter* const events_;
  std::map<v1::HuntState, Counter*> results_;
  std::map<v1::HuntState, Counter*> hunts_;
  Histogram* const seconds_;
};

// Tells every few seconds how many hunts of all tenants wait and are under way, whichever process
// works at them. On a thread of its own.
class HuntGauges {
 public:
  HuntGauges(const store::Store<v1::Hunt>& hunts, std::shared_ptr<store::FeedFollower> feed,
             MetricsRegistry& metrics,
             std::chrono::milliseconds pause = std::chrono::milliseconds(5'000));
  void Start();
  void Stop();

 private:
  void Tell();

  const std::chrono::milliseconds pause_;
  store::Projection<v1::Hunt> open_;
  std::map<v1::HuntState, Gauge*> gauges_;
  std::jthread thread_;
};

}  // namespace yagura::detection
