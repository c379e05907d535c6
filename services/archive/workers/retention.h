#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock/clock.h"
#include "services/archive/domain/time_window.h"

namespace yagura::archive {

// How long each tenant's events and flows are kept. Thread-safe. Until the directory has told of a
// tenant, the default counts, which should not be shorter than what customers are promised.
class Retention {
 public:
  explicit Retention(int default_days) : default_days_(default_days) {}

  void Set(std::map<std::string, int, std::less<>> days_by_tenant);
  // Whether the directory has told of the tenants: before, only the default is known.
  bool told() const;
  TimePoint ExpiryOf(std::string_view tenant, TimePoint receive_time) const;

  // Called, from any thread, to have the directory asked at once.
  void OnUnknown(std::function<void()> ask);
  // Whether to wait with a tenant's events: the directory has not told of it, and has not been
  // heard twice since it was first asked for it; five seconds at most. Never without OnUnknown.
  bool Awaits(std::string_view tenant) const;

  void SetFlowDays(std::map<std::string, int, std::less<>> days_by_tenant);
  // Of a tenant's flows.
  int FlowDaysOf(std::string_view tenant) const;

  // By tenant, ranges of receive time whose events are kept whatever their expiry.
  using Holds = std::map<std::string, std::vector<TimeWindow>, std::less<>>;
  void SetHolds(Holds holds);
  std::vector<TimeWindow> HoldsOf(std::string_view tenant) const;

  // What an insert goes by. It keeps it for as long as what it writes may still come into the
  // store.
  std::shared_ptr<const Holds> holds() const;
  // An insert by these holds may come into the store until then, though nobody waits for it.
  void Linger(std::shared_ptr<const Holds> holds, std::chrono::nanoseconds duration) const;
  // Whether an insert is under way that goes by other holds than those of now.
  bool OlderHoldsInUse() const;
  // Whether an insert is under way that nobody waits for.
  bool Lingers() const;
  // Until then the holds are known as they are; until the first call, for ever.
  void HoldsGoodUntil(std::chrono::steady_clock::time_point time);
  bool HoldsGood() const;

 private:
  struct Late {
    std::chrono::steady_clock::time_point until;
    std::shared_ptr<const Holds> holds;
  };
  void DropOld() const;  // under mutex_

  const int default_days_;
  mutable std::mutex mutex_;
  bool told_ = false;
  std::map<std::string, int, std::less<>> days_;
  std::map<std::string, int, std::less<>> flow_days_;
  std::function<void()> ask_;
  struct Asked {
    std::chrono::steady_clock::time_point at;
    uint64_t heard;  // how often the directory had been heard then
  };
  mutable std::map<std::string, Asked, std::less<>> asked_;  // tenants it had not told of
  uint64_t heard_ = 0;
  std::shared_ptr<const Holds> holds_ = std::make_shared<const Holds>();
  std::chrono::steady_clock::time_point good_until_ = std::chrono::steady_clock::time_point::max();
  mutable std::vector<std::weak_ptr<const Holds>> older_;
  mutable std::vector<Late> late_;
};

}  // namespace yagura::archive
