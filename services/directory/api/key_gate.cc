#include "services/directory/api/key_gate.h"

#include <chrono>

#include "common/status/status.h"

namespace yagura::directory {
namespace {

constexpr size_t kMaxGood = 65'536;
constexpr auto kRemember = std::chrono::hours(24);

}  // namespace

KeyGate::KeyGate(double per_second, const std::shared_ptr<const Clock>& clock)
    : clock_(clock), unknown_(per_second, clock) {}

absl::Status KeyGate::Begin(const std::string& hash, std::string_view network) {
  {
    const std::lock_guard lock(mutex_);
    const auto known = good_.find(hash);
    if (known != good_.end() && clock_->SteadyNow() - known->second < kRemember) {
      return absl::OkStatus();
    }
  }
  const auto wait = unknown_.Take(network, 1);
  if (wait.count() == 0) return absl::OkStatus();
  return WithRetryDelay(
      MakeError(absl::StatusCode::kResourceExhausted, "KEYS_THROTTLED",
                "too many keys that are not known were shown from there; wait before the next"),
      wait);
}

void KeyGate::Good(const std::string& hash, std::string_view network) {
  const SteadyTime now = clock_->SteadyNow();
  const std::lock_guard lock(mutex_);
  if (good_.size() >= kMaxGood && !good_.contains(hash)) {
    std::erase_if(good_, [now](const auto& item) { return now - item.second >= kRemember; });
    if (good_.size() >= kMaxGood) good_.erase(good_.begin());
  }
  if (std::exchange(good_[hash], now) == SteadyTime{}) unknown_.Give(network, 1);
}

void KeyGate::Bad(const std::string& hash) {
  const std::lock_guard lock(mutex_);
  good_.erase(hash);
}

}  // namespace yagura::directory
