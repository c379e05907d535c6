#include "services/archive/workers/retention.h"

#include <algorithm>
#include <utility>

namespace yagura::archive {

void Retention::Set(std::map<std::string, int, std::less<>> days_by_tenant) {
  const std::lock_guard lock(mutex_);
  days_ = std::move(days_by_tenant);
}

TimePoint Retention::ExpiryOf(std::string_view tenant, TimePoint receive_time) const {
  int days = default_days_;
  {
    const std::lock_guard lock(mutex_);
    if (const auto it = days_.find(tenant); it != days_.end() && it->second > 0) days = it->second;
  }
  return receive_time + std::chrono::hours(24) * days;
}

}  // namespace yagura::archive
