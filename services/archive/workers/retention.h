#pragma once

#include <cstdint>
#include <map>
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

  void SetFlowDays(std::map<std::string, int, std::less<>> days_by_tenant);
  // Of a tenant's flows.
  int FlowDaysOf(std::string_view tenant) const;

  // Ranges of receive time whose events are kept whatever their expiry.
  void SetHolds(std::map<std::string, std::vector<TimeWindow>, std::less<>> holds_by_tenant);
  std::vector<TimeWindow> HoldsOf(std::string_view tenant) const;

 private:
  const int default_days_;
  mutable std::mutex mutex_;
  bool told_ = false;
  std::map<std::string, int, std::less<>> days_;
  std::map<std::string, int, std::less<>> flow_days_;
  std::map<std::string, std::vector<TimeWindow>, std::less<>> holds_;
};

}  // namespace yagura::archive
