#include "services/directory/api/key_gate.h"

#include <chrono>

#include "common/status/status.h"

namespace yagura::directory {
namespace {

constexpr size_t kMaxGood = 65'536;
constexpr auto kRemember = std::chrono::hours(24);
constexpr auto kLookInterval = std::chrono::minutes(10);

}  // namespace

KeyGate::KeyGate(double per_second, const std::shared_ptr<const Clock>& clock)
    : clock_(clock), unknown_(per_second, clock) {}

absl::StatusOr<KeyGate::Pass> KeyGate::Begin(const std::string& hash, std::string_view network) {
  {
    const SteadyTime now = clock_->SteadyNow();
    const std::lock_guard lock(mutex_);
    if (now >= next_look_) Forget(now);
    const auto known = good_.find(hash);
    if (known != good_.end() && now - known->second < kRemember) return Pass{};
  }
  const auto wait = unknown_.Take(network, 1);
  if (wait.count() == 0) return Pass{.counted = true};
  return WithRetryDelay(
      MakeError(absl::StatusCode::kResourceExhausted, "KEYS_THROTTLED",
                "too many keys that are not known were shown from there; wait before the next"),
      wait);
}

void KeyGate::Good(const std::string& hash, std::string_view network, Pass pass) {
  if (pass.counted) unknown_.Give(network, 1);
  const SteadyTime now = clock_->SteadyNow();
  const std::lock_guard lock(mutex_);
  if (good_.size() >= kMaxGood && !good_.contains(hash)) {
    Forget(now);
    if (good_.size() >= kMaxGood) good_.erase(good_.begin());
  }
  good_[hash] = now;
}

void KeyGate::Bad(const std::string& hash) {
  const std::lock_guard lock(mutex_);
  good_.erase(hash);
}

void KeyGate::Undecided(std::string_view network, Pass pass) {
  if (pass.counted) unknown_.Give(network, 1);
}

size_t KeyGate::remembered() const {
  const std::lock_guard lock(mutex_);
  return good_.size();
}

void KeyGate::Forget(SteadyTime now) {
  next_look_ = now + kLookInterval;
  std::erase_if(good_, [now](const auto& item) { return now - item.second >= kRemember; });
}

}  // namespace yagura::directory
