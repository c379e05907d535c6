#include "services/archive/workers/retention.h"

#include <algorithm>
#include <utility>

namespace yagura::archive {

void Retention::Set(std::map<std::string, int, std::less<>> days_by_tenant) {
  const std::lock_guard lock(mutex_);
  days_ = std::move(days_by_tenant);
  told_ = true;
}

bool Retention::told() const {
  const std::lock_guard lock(mutex_);
  return told_;
}

TimePoint Retention::ExpiryOf(std::string_view tenant, TimePoint receive_time) const {
  int days = default_days_;
  {
    const std::lock_guard lock(mutex_);
    if (const auto it = days_.find(tenant); it != days_.end() && it->second > 0) days = it->second;
  }
  return receive_time + std::chrono::hours(24) * days;
}

void Retention::SetFlowDays(std::map<std::string, int, std::less<>> days_by_tenant) {
  const std::lock_guard lock(mutex_);
  flow_days_ = std::move(days_by_tenant);
}

void Retention::SetHolds(
    std::map<std::string, std::vector<TimeWindow>, std::less<>> holds_by_tenant) {
  const std::lock_guard lock(mutex_);
  holds_ = std::move(holds_by_tenant);
}

std::vector<TimeWindow> Retention::HoldsOf(std::string_view tenant) const {
  const std::lock_guard lock(mutex_);
  const auto it = holds_.find(tenant);
  return it == holds_.end() ? std::vector<TimeWindow>() : it->second;
}

int Retention::FlowDaysOf(std::string_view tenant) const {
  const std::lock_guard lock(mutex_);
  const auto it = flow_days_.find(tenant);
  return it != flow_days_.end() && it->second > 0 ? it->second : default_days_;
}

}  // namespace yagura::archive
