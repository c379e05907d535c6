#include "services/archive/workers/retention.h"

#include <algorithm>
#include <utility>

namespace yagura::archive {

void Retention::Set(std::map<std::string, int, std::less<>> days_by_tenant) {
  const std::lock_guard lock(mutex_);
  days_ = std::move(days_by_tenant);
  told_ = true;
  ++heard_;
}

bool Retention::told() const {
  const std::lock_guard lock(mutex_);
  return told_;
}

void Retention::OnUnknown(std::function<void()> ask) {
  const std::lock_guard lock(mutex_);
  ask_ = std::move(ask);
}

bool Retention::Awaits(std::string_view tenant) const {
  constexpr std::chrono::seconds kPatience{5};
  constexpr size_t kMostAsked = 10'000;
  std::function<void()> ask;
  {
    const std::lock_guard lock(mutex_);
    if (!ask_ || !told_ || days_.contains(tenant)) return false;
    const auto now = std::chrono::steady_clock::now();
    if (asked_.size() >= kMostAsked) asked_.clear();
    // The first time may be the answer to what was asked before the tenant was made.
    const Asked& asked = asked_.try_emplace(std::string(tenant), Asked{now, heard_}).first->second;
    if (heard_ >= asked.heard + 2 || now - asked.at >= kPatience) return false;
    ask = ask_;
  }
  ask();
  return true;
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

void Retention::SetHolds(Holds holds) {
  const std::lock_guard lock(mutex_);
  if (holds == *holds_) return;
  older_.emplace_back(holds_);
  holds_ = std::make_shared<const Holds>(std::move(holds));
}

std::vector<TimeWindow> Retention::HoldsOf(std::string_view tenant) const {
  const std::lock_guard lock(mutex_);
  const auto it = holds_->find(tenant);
  return it == holds_->end() ? std::vector<TimeWindow>() : it->second;
}

std::shared_ptr<const Retention::Holds> Retention::holds() const {
  const std::lock_guard lock(mutex_);
  return holds_;
}

void Retention::Linger(std::shared_ptr<const Holds> holds,
                       std::chrono::nanoseconds duration) const {
  const auto until = std::chrono::steady_clock::now() + duration;
  const std::lock_guard lock(mutex_);
  DropOld();
  for (Late& late : late_) {
    if (late.holds != holds) continue;
    late.until = std::max(late.until, until);
    return;
  }
  late_.push_back({until, std::move(holds)});
}

void Retention::DropOld() const {
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(late_, [now](const Late& late) { return late.until <= now; });
  std::erase_if(older_, [](const auto& holds) { return holds.expired(); });
}

bool Retention::OlderHoldsInUse() const {
  const std::lock_guard lock(mutex_);
  DropOld();
  return !older_.empty();
}

bool Retention::Lingers() const {
  const std::lock_guard lock(mutex_);
  DropOld();
  return !late_.empty();
}

void Retention::HoldsGoodUntil(std::chrono::steady_clock::time_point time) {
  const std::lock_guard lock(mutex_);
  good_until_ = time;
}

bool Retention::HoldsGood() const {
  const std::lock_guard lock(mutex_);
  return std::chrono::steady_clock::now() < good_until_;
}

int Retention::FlowDaysOf(std::string_view tenant) const {
  const std::lock_guard lock(mutex_);
  const auto it = flow_days_.find(tenant);
  return it != flow_days_.end() && it->second > 0 ? it->second : default_days_;
}

}  // namespace yagura::archive
