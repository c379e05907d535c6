#include "services/archive/workers/hold_watcher.h"

#include <utility>

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "services/archive/domain/hold_window.h"
#include "services/archive/workers/retention.h"

namespace yagura::archive {

store::Kind LegalHoldKind() {
  return {
      .area = "archive",
      .kind = "legal_hold",
      .pattern = "tenants/{tenant}/legalHolds/{hold}",
      .indexes = {{"by_create_time", {}, "create_time"}, {"by_state", {"state"}, "create_time"}}};
}

StatusOr<std::vector<v1::LegalHold>> ReadHolds(redis::Pool& state,
                                               const store::Store<v1::LegalHold>& holds) {
  YAGURA_ASSIGN_OR_RETURN(const auto tenants, store::ListTenants(state));
  std::vector<v1::LegalHold> all;
  for (const std::string& tenant : tenants) {
    YAGURA_RETURN_IF_ERROR(holds.ForEach(tenant, [&all](const v1::LegalHold& hold) {
      all.push_back(hold);
      return absl::OkStatus();
    }));
  }
  return all;
}

HoldWatcher::HoldWatcher(Parts parts, store::Store<v1::LegalHold> holds, Options options)
    : parts_(std::move(parts)),
      holds_(std::move(holds)),
      options_(options),
      member_(store::NewUlid()) {}

HoldWatcher::~HoldWatcher() { Stop(); }

Status HoldWatcher::Turn() {
  const std::lock_guard lock(turn_mutex_);
  const auto began = std::chrono::steady_clock::now();
  // Announced before the holds are read: a hold that is made in between waits for us.
  YAGURA_ASSIGN_OR_RETURN(const uint64_t round, parts_.rounds.Announce(member_, known_));
  if (!loaded_ || *loaded_ != round || began >= next_reload_) {
    YAGURA_ASSIGN_OR_RETURN(const auto all, ReadHolds(*parts_.state, holds_));
    Retention::Holds active;
    for (const v1::LegalHold& hold : all) {
      if (hold.state() != v1::LegalHold::ACTIVE) continue;
      active[std::string(store::TenantOf(hold.name()).value_or(""))].push_back(WindowOf(hold));
    }
    parts_.retention.SetHolds(std::move(active));
    loaded_ = round;
    next_reload_ = began + options_.reload;
  }
  parts_.retention.HoldsGoodUntil(began + options_.lease);
  if (known_ == round || parts_.retention.OlderHoldsInUse()) return absl::OkStatus();
  known_ = round;
  return parts_.rounds.Announce(member_, known_).status();
}

void HoldWatcher::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void HoldWatcher::Stop() {
  thread_.request_stop();
  if (!thread_.joinable()) return;
  thread_.join();
  // What may still come into the store is waited for as if we had been killed.
  if (!parts_.retention.Lingers()) static_cast<void>(parts_.rounds.Leave(member_));
}

void HoldWatcher::Wake() {
  const std::lock_guard lock(mutex_);
  woken_ = true;
  wake_.notify_all();
}

void HoldWatcher::Run(const std::stop_token& stop) {
  bool fine = true;
  while (!stop.stop_requested()) {
    const Status status = Turn();
    if (!status.ok() && fine) {
      parts_.logger.Warning("which events are held is not told; soon nothing is stored",
                            {{"why", Message(status)}});
    }
    fine = status.ok();
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, options_.poll, [this] { return woken_; });
    woken_ = false;
  }
}

}  // namespace yagura::archive
