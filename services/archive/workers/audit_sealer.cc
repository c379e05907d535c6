#include "services/archive/workers/audit_sealer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "common/store/store.h"

namespace yagura::archive {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kGateWait{200};
constexpr milliseconds kShortestPoll{20};
constexpr milliseconds kLongestPoll{5'000};
constexpr std::chrono::hours kTrimLook{1};
constexpr milliseconds kShortestPause{5'000};
constexpr milliseconds kLongestPause{std::chrono::minutes(10)};

}  // namespace

AuditSealer::AuditSealer(std::shared_ptr<redis::Pool> state, SealOptions options,
                         SealerParts& parts)
    : state_(std::move(state)),
      options_(options),
      parts_(parts),
      holder_(options_.holder.empty() ? fmt::format("sealer/{}", store::NewUlid())
                                      : options_.holder) {}

AuditSealer::~AuditSealer() { Stop(); }

void AuditSealer::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void AuditSealer::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void AuditSealer::Run(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  const milliseconds poll = std::clamp(options_.interval / 4, kShortestPoll, kLongestPoll);
  while (!stop.stop_requested()) {
    const Status status = Pass(false, stop);
    {
      const std::lock_guard lock(mutex_);
      state_health_ = status;
    }
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, poll, [] { return false; });
  }
}

bool AuditSealer::Due(const std::string& tenant, const SealStore::Feed& feed) {
  // Redis or the store has come back with older data where the feed ends before the position: the
  // next record to come would take a number that is sealed already.
  const bool behind = feed.newest < feed.sealed;
  if (feed.newest == feed.sealed && !feed.planned) {
    waiting_since_.erase(tenant);
    return false;
  }
  const auto since = waiting_since_.try_emplace(tenant, Steady::now()).first->second;
  return feed.planned || behind || feed.newest - feed.sealed >= options_.records_per_seal ||
         Steady::now() - since >= options_.interval;
}

Status AuditSealer::Pass(bool all, const std::stop_token& stop) {
  // Before anything is signed with it: who verifies must know the key.
  YAGURA_RETURN_IF_ERROR(parts_.seals.PutKey(parts_.key.key_id(), parts_.key.public_key()));
  YAGURA_ASSIGN_OR_RETURN(const std::vector<std::string> tenants, store::ListTenants(*state_));
  YAGURA_ASSIGN_OR_RETURN(const auto feeds, parts_.seals.Look(tenants));
  uint64_t unsealed = 0;
  for (const auto& [tenant, feed] : feeds) {
    if (stop.stop_requested()) break;
    const auto pass = WriteGate::Enter(parts_.gate, kGateWait);
    if (!pass) break;  // at a later look
    if (feed.newest > feed.sealed) unsealed += feed.newest - feed.sealed;
    const bool due = Due(tenant, feed) || Failed(tenant);
    if ((due && !Waits(tenant)) || (all && feed.newest != feed.sealed)) {
      const Status status = TenantSealer(tenant, holder_, options_, parts_).Run(stop);
      Report(tenant, status);
      if (status.ok()) waiting_since_.erase(tenant);
    }
    const Status trimmed = Trim(tenant, feed);
    if (!trimmed.ok()) Report(tenant, trimmed);
  }
  const std::lock_guard lock(mutex_);
  unsealed_ = unsealed;
  return absl::OkStatus();
}

// Up to which record the feed may go: what the store has, and nobody is expected to follow any
// more.
StatusOr<uint64_t> AuditSealer::TrimmedUpTo(const std::string& tenant,
                                            const SealStore::Feed& feed) {
  const TimePoint now = parts_.clock->Now();
  uint64_t up_to = 0;
  // Not for every record that passes the age, but for a good many at once.
  const bool old = feed.oldest_time + options_.keep_age + options_.keep_age / 24 <= now;
  auto& looked = trim_looked_.try_emplace(tenant, Steady::now()).first->second;
  if (old || Steady::now() - looked >= kTrimLook) {
    looked = Steady::now();
    YAGURA_ASSIGN_OR_RETURN(const auto head,
                            parts_.store.LastHeadBefore(tenant, now - options_.keep_age));
    if (head) up_to = head->head.sequence();
  }
  const uint64_t kept = feed.newest - std::min(feed.newest, feed.oldest - 1);
  if (kept > options_.keep_records + options_.keep_records / 20) {
    YAGURA_ASSIGN_OR_RETURN(const auto head, parts_.store.LastHead(tenant));
    if (head) {
      up_to = std::max(up_to, std::min(head->head.sequence(), feed.newest - options_.keep_records));
    }
  }
  return std::min(up_to, feed.sealed);
}

Status AuditSealer::Trim(const std::string& tenant, const SealStore::Feed& feed) {
  if (feed.oldest == 0 || feed.oldest > feed.sealed) return absl::OkStatus();
  // Of a tenant whose chain is in doubt everything is kept.
  if (Failed(tenant)) return absl::OkStatus();
  YAGURA_ASSIGN_OR_RETURN(const uint64_t up_to, TrimmedUpTo(tenant, feed));
  if (up_to < feed.oldest) return absl::OkStatus();
  YAGURA_ASSIGN_OR_RETURN(const uint64_t dropped, parts_.seals.Trim(tenant, up_to));
  parts_.trimmed += dropped;
  parts_.after_step(SealStep::kTrimmed);
  return absl::OkStatus();
}

bool AuditSealer::Failed(const std::string& tenant) const {
  const std::lock_guard lock(mutex_);
  return failed_.contains(tenant);
}

bool AuditSealer::Waits(const std::string& tenant) const {
  const auto pause = pauses_.find(tenant);
  return pause != pauses_.end() && Steady::now() < pause->second.until;
}

void AuditSealer::Report(const std::string& tenant, const Status& status) {
  const bool others = ErrorReason(status) == "LEASE_HELD" || ErrorReason(status) == "LEASE_LOST";
  const std::lock_guard lock(mutex_);
  if (status.ok() || others || absl::IsCancelled(status)) {
    failed_.erase(tenant);
    pauses_.erase(tenant);
    return;
  }
  // An outage ends for all at once; what else is wrong with one tenant seldom mends itself.
  if (!absl::IsUnavailable(status)) {
    Pause& pause = pauses_[tenant];
    pause.length = std::clamp(2 * pause.length, kShortestPause, kLongestPause);
    pause.until = Steady::now() + pause.length;
  }
  Status& known = failed_[tenant];
  if (ErrorReason(known) != ErrorReason(status)) {
    parts_.logger.Error("audit records are not sealed",
                        {{"tenant", tenant}, {"why", Message(status)}});
  }
  known = status;
}

Status AuditSealer::Health() const {
  const std::lock_guard lock(mutex_);
  if (!state_health_.ok()) return state_health_;
  for (const auto& [tenant, status] : failed_) {
    if (absl::IsUnavailable(status)) return Annotate(status, "audit of " + tenant);
  }
  return absl::OkStatus();
}

std::map<std::string, Status> AuditSealer::Stalled() const {
  const std::lock_guard lock(mutex_);
  return failed_;
}

size_t AuditSealer::stalled() const {
  const std::lock_guard lock(mutex_);
  return failed_.size();
}

uint64_t AuditSealer::unsealed() const {
  const std::lock_guard lock(mutex_);
  return unsealed_;
}

}  // namespace yagura::archive
