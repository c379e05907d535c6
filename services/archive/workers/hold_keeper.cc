#include "services/archive/workers/hold_keeper.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/eventstore/client.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "services/archive/domain/block_column.h"
#include "services/archive/domain/hold_window.h"
#include "services/archive/domain/selection.h"
#include "services/archive/storage/proof_store.h"
#include "services/archive/workers/hold_watcher.h"
#include "services/archive/workers/retention.h"

namespace yagura::archive {
namespace {

// Of another name than that of schema 9, which was no hash.
constexpr std::string_view kLeaseKey = "y:{-}:archive:hold-lease";
constexpr std::chrono::minutes kMutationTimeout{30};
constexpr std::chrono::milliseconds kLookAgain{50};
constexpr size_t kMostDays = 100'000;

std::string TenantOf(const v1::LegalHold& hold) {
  return std::string(store::TenantOf(hold.name()).value_or(""));
}

bool IsActive(const v1::LegalHold& hold) { return hold.state() == v1::LegalHold::ACTIVE; }

bool IsOpen(const v1::LegalHold& hold) {
  return IsActive(hold) ? !hold.has_applied_time() : !hold.has_settled_time();
}

// The range of the hold on the column of receive times.
std::string RangeSql(const TimeWindow& window, const std::string& prefix,
                     eventstore::Query* query) {
  std::string sql =
      fmt::format("receive_time >= {}", TimeSql(prefix + "_start", window.start, query));
  if (window.end == TimePoint::max()) return sql;
  return sql + fmt::format(" AND receive_time < {}", TimeSql(prefix + "_end", window.end, query));
}

std::string HeldSql() { return fmt::format("toDateTime({}, 'UTC')", kHeldUntil); }

store::WriteContext Context() {
  store::WriteContext context;
  context.principal = "services/archive";
  context.method = "archive.hold_keeper";
  return context;
}

}  // namespace

HoldKeeper::HoldKeeper(Parts parts, store::Store<v1::LegalHold> holds, Options options)
    : parts_(std::move(parts)),
      holds_(std::move(holds)),
      options_(std::move(options)),
      lease_(parts_.state, std::string(kLeaseKey),
             options_.holder.empty() ? fmt::format("holds/{}", store::NewUlid()) : options_.holder,
             options_.lease),
      renewer_(parts_.state, options_.lease) {}

HoldKeeper::~HoldKeeper() { Stop(); }

Status HoldKeeper::Fence() const { return lease_.Fence(epoch_); }

StatusOr<std::vector<int64_t>> HoldKeeper::DaysWith(const Hold& hold,
                                                    const std::string& condition) const {
  eventstore::Query query;
  query.parameters["tenant"] = TenantOf(hold);
  query.sql = fmt::format(
      "SELECT DISTINCT toInt64(toUInt16(toDate(receive_time, 'UTC'))) AS day FROM yagura.events "
      "WHERE tenant = {{tenant:String}} AND {} AND {} ORDER BY day",
      RangeSql(WindowOf(hold), "hold", &query), condition);
  query.timeout = kMutationTimeout;
  YAGURA_ASSIGN_OR_RETURN(const auto rows, parts_.client->Select(query, kMostDays));
  std::vector<int64_t> days;
  for (const auto& row : rows.rows) days.push_back(row.at(0).AsSigned());
  return days;
}

Status HoldKeeper::SetExpiry(const Hold& hold, const Change& change) {
  YAGURA_ASSIGN_OR_RETURN(const std::string first, change.condition());
  YAGURA_ASSIGN_OR_RETURN(const auto days, DaysWith(hold, first));
  for (const int64_t day : days) {
    YAGURA_ASSIGN_OR_RETURN(const std::string expiry, change.expiry(day));
    YAGURA_RETURN_IF_ERROR(Fence());
    YAGURA_ASSIGN_OR_RETURN(const std::string where, change.condition());
    eventstore::Query update;
    update.parameters["tenant"] = TenantOf(hold);
    update.sql = fmt::format(
        "ALTER TABLE yagura.events UPDATE expires = {} IN PARTITION ID '{}' WHERE tenant = "
        "{{tenant:String}} AND {} AND {}",
        expiry, PartitionOf(TimePoint(std::chrono::days(day))),
        RangeSql(WindowOf(hold), "hold", &update), where);
    // Done on the server that is asked; other replicas do the same from Keeper's log, and merge
    // nothing of what is not done yet. Waiting for those that are away would take for ever.
    update.settings["mutations_sync"] = "1";
    update.timeout = kMutationTimeout;
    YAGURA_RETURN_IF_ERROR(parts_.client->Execute(update));
  }
  return absl::OkStatus();
}

Status HoldKeeper::Keep(const Hold& hold) {
  // What proves the events first: nothing is kept without.
  YAGURA_RETURN_IF_ERROR(Fence());
  YAGURA_RETURN_IF_ERROR(parts_.proofs.Keep(TenantOf(hold), ProofStore::DaysOf(WindowOf(hold))));
  return SetExpiry(hold, {[](int64_t /*day*/) { return HeldSql(); },
                          [] { return fmt::format("expires < {}", HeldSql()); }});
}

StatusOr<std::vector<v1::LegalHold>> HoldKeeper::ActiveOf(const std::string& tenant) const {
  std::vector<Hold> active;
  YAGURA_RETURN_IF_ERROR(holds_.ForEach(tenant, [&active](const Hold& hold) {
    if (IsActive(hold)) active.push_back(hold);
    return absl::OkStatus();
  }));
  return active;
}

StatusOr<std::string> HoldKeeper::Unheld(const std::string& tenant) const {
  YAGURA_ASSIGN_OR_RETURN(const auto active, ActiveOf(tenant));
  std::string condition = fmt::format("expires = {}", HeldSql());
  for (const Hold& other : active) {
    const TimeWindow window = WindowOf(other);
    const auto nanoseconds = [](TimePoint time) { return time.time_since_epoch().count(); };
    condition += fmt::format(
        " AND NOT (toUnixTimestamp64Nano(receive_time) >= {} AND "
        "toUnixTimestamp64Nano(receive_time) < {})",
        nanoseconds(window.start), nanoseconds(window.end));
  }
  return condition;
}

// What no other hold keeps gets the expiry that it would have had, by the retention of today, but
// none sooner than its digest was signed to say.
Status HoldKeeper::LetGo(const Hold& hold) {
  const std::string tenant = TenantOf(hold);
  const TimePoint never;
  const auto kept = std::chrono::duration_cast<std::chrono::seconds>(
      parts_.retention.ExpiryOf(tenant, never) - never);
  const auto expiry = [&](int64_t day) -> StatusOr<std::string> {
    YAGURA_ASSIGN_OR_RETURN(const int64_t signed_for, parts_.proofs.LatestExpiry(tenant, day));
    // All replicas must come to the same, whenever they do it: no now().
    YAGURA_ASSIGN_OR_RETURN(const TimePoint now, parts_.proofs.Now());
    const auto soonest =
        std::chrono::floor<std::chrono::seconds>(now).time_since_epoch() + options_.grace;
    return fmt::format(
        "toDateTime(greatest(toInt64(least(toUnixTimestamp(receive_time) + {}, {})), toInt64({}), "
        "toInt64({})), 'UTC')",
        kept.count(), kHeldUntil - 1, signed_for,
        std::chrono::duration_cast<std::chrono::seconds>(soonest).count());
  };
  YAGURA_RETURN_IF_ERROR(SetExpiry(hold, {expiry, [&] { return Unheld(tenant); }}));
  YAGURA_RETURN_IF_ERROR(Fence());
  YAGURA_ASSIGN_OR_RETURN(const auto active, ActiveOf(tenant));
  std::vector<ProofStore::DayRange> others;
  for (const Hold& other : active) others.push_back(ProofStore::DaysOf(WindowOf(other)));
  return parts_.proofs.LetGo(tenant, ProofStore::DaysOf(WindowOf(hold)), others, options_.grace);
}

StatusOr<bool> HoldKeeper::EverybodyKnows(const Hold& hold) {
  uint64_t& round = rounds_[fmt::format("{}/{}", hold.name(), IsActive(hold))];
  if (round == 0) {
    YAGURA_ASSIGN_OR_RETURN(round, parts_.rounds.Begin());
  }
  YAGURA_ASSIGN_OR_RETURN(const auto state, parts_.rounds.Look(round, options_.gone));
  if (state.now < round) {
    round = 0;  // Redis lost it: another begins
    return false;
  }
  return state.lagging.empty();
}

StatusOr<bool> HoldKeeper::Twice(const Hold& hold, const Pass& pass) {
  YAGURA_ASSIGN_OR_RETURN(bool known, EverybodyKnows(hold));
  if (!known) {
    YAGURA_RETURN_IF_ERROR(pass(hold));
    const auto until = std::chrono::steady_clock::now() + options_.patience;
    while (!known && std::chrono::steady_clock::now() < until &&
           !thread_.get_stop_token().stop_requested()) {
      std::this_thread::sleep_for(kLookAgain);
      YAGURA_ASSIGN_OR_RETURN(known, EverybodyKnows(hold));
    }
  }
  if (!known) return false;
  YAGURA_RETURN_IF_ERROR(pass(hold));
  return true;
}

Status HoldKeeper::Mark(const Hold& hold) {
  YAGURA_RETURN_IF_ERROR(Fence());
  const TimePoint now = parts_.clock->Now();
  const bool active = IsActive(hold);
  parts_.logger.Info(active ? "a legal hold keeps all that is stored"
                            : "what a legal hold kept goes as retention says",
                     {{"hold", hold.name()}});
  return holds_
      .Mutate(Context(), hold.name(),
              [now, active](Hold& stored) {
                // It may have been released meanwhile.
                if (IsActive(stored) == active && IsOpen(stored)) {
                  *(active ? stored.mutable_applied_time() : stored.mutable_settled_time()) =
                      ToProto(now);
                }
                return absl::OkStatus();
              })
      .status();
}

Status HoldKeeper::Do(const Hold& hold) {
  // By the default what is kept for longer would go, and not come back.
  if (!IsActive(hold) && !parts_.retention.told()) return absl::OkStatus();
  YAGURA_ASSIGN_OR_RETURN(const bool done, Twice(hold, [this](const Hold& each) {
                            return IsActive(each) ? Keep(each) : LetGo(each);
                          }));
  if (!done) return absl::OkStatus();
  YAGURA_RETURN_IF_ERROR(Mark(hold));
  rounds_.erase(fmt::format("{}/{}", hold.name(), IsActive(hold)));
  return absl::OkStatus();
}

Status HoldKeeper::Work(const std::vector<Hold>& all, bool recheck) {
  Status first;
  for (const Hold& hold : all) {
    Status status;
    if (IsOpen(hold)) {
      status = Do(hold);
    } else if (recheck && IsActive(hold)) {
      status = Keep(hold);
    }
    if (absl::IsAborted(status)) return status;
    if (first.ok()) first = status;
  }
  return first;
}

Status HoldKeeper::Turn() {
  const std::lock_guard lock(turn_mutex_);
  YAGURA_ASSIGN_OR_RETURN(const auto all, ReadHolds(*parts_.state, holds_));
  open_ = std::any_of(all.begin(), all.end(), IsOpen);
  const auto began = std::chrono::steady_clock::now();
  const bool recheck = began >= next_recheck_ && std::any_of(all.begin(), all.end(), IsActive);
  if (!open_ && !recheck) return absl::OkStatus();
  const auto epoch = lease_.Acquire();
  if (ErrorReason(epoch.status()) == "LEASE_HELD") return absl::OkStatus();
  YAGURA_RETURN_IF_ERROR(epoch.status());
  epoch_ = *epoch;
  Status status;
  {
    // Renewed while a day takes long.
    const auto held = renewer_.Keep(lease_.key(), lease_.holder(), epoch_);
    status = Work(all, recheck);
  }
  lease_.Release(epoch_);
  if (recheck && status.ok()) next_recheck_ = began + options_.recheck;
  return status;
}

bool HoldKeeper::IsBusy() {
  const std::lock_guard lock(turn_mutex_);
  return open_;
}

void HoldKeeper::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void HoldKeeper::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void HoldKeeper::Wake() {
  const std::lock_guard lock(mutex_);
  woken_ = true;
  wake_.notify_all();
}

void HoldKeeper::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const Status status = Turn();
    if (!status.ok()) {
      parts_.logger.Warning("legal holds are not in force everywhere yet",
                            {{"why", Message(status)}});
    }
    const bool soon = !status.ok() || IsBusy();
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, soon ? options_.retry : options_.interval,
                   [this] { return woken_; });
    woken_ = false;
  }
}

}  // namespace yagura::archive
