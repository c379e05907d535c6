#include "services/archive/workers/hold_keeper.h"

#include <algorithm>
#include <map>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/eventstore/client.h"
#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "services/archive/domain/block_column.h"
#include "services/archive/domain/selection.h"
#include "services/archive/workers/retention.h"

namespace yagura::archive {
namespace {

constexpr std::string_view kLeaseKey = "y:{-}:archive:hold-keeper";
constexpr std::string_view kLeaseSeconds = "300";
constexpr std::chrono::minutes kMutationTimeout{30};
constexpr size_t kMostDays = 100'000;
constexpr size_t kDayDigits = 8;

TimeWindow WindowOf(const v1::LegalHold& hold) {
  return {FromProto(hold.start_time()),
          hold.has_end_time() ? FromProto(hold.end_time()) : TimePoint::max()};
}

std::string TenantOf(const v1::LegalHold& hold) {
  return std::string(store::TenantOf(hold.name()).value_or(""));
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

store::Kind LegalHoldKind() {
  return {
      .area = "archive",
      .kind = "legal_hold",
      .pattern = "tenants/{tenant}/legalHolds/{hold}",
      .indexes = {{"by_create_time", {}, "create_time"}, {"by_state", {"state"}, "create_time"}}};
}

HoldKeeper::HoldKeeper(const Parts& parts, store::Store<v1::LegalHold> holds, Options options)
    : parts_(parts), holds_(std::move(holds)), options_(options) {}

HoldKeeper::~HoldKeeper() { Stop(); }

StatusOr<std::vector<v1::LegalHold>> HoldKeeper::ReadAll() const {
  YAGURA_ASSIGN_OR_RETURN(const auto tenants, store::ListTenants(*parts_.state));
  std::vector<Hold> all;
  for (const std::string& tenant : tenants) {
    YAGURA_RETURN_IF_ERROR(holds_.ForEach(tenant, [&all](const Hold& hold) {
      all.push_back(hold);
      return absl::OkStatus();
    }));
  }
  return all;
}

Status HoldKeeper::Load() {
  YAGURA_ASSIGN_OR_RETURN(const auto all, ReadAll());
  std::map<std::string, std::vector<TimeWindow>, std::less<>> active;
  for (const Hold& hold : all) {
    if (hold.state() == Hold::ACTIVE) active[TenantOf(hold)].push_back(WindowOf(hold));
  }
  parts_.retention.SetHolds(std::move(active));
  return absl::OkStatus();
}

bool HoldKeeper::HasSettled(const google::protobuf::Timestamp& since) const {
  return parts_.clock->Now() - FromProto(since) >= options_.settle;
}

StatusOr<std::vector<std::string>> HoldKeeper::DaysWith(const Hold& hold,
                                                        const std::string& condition) const {
  eventstore::Query query;
  query.parameters["tenant"] = TenantOf(hold);
  query.sql = fmt::format(
      "SELECT DISTINCT toString(toYYYYMMDD(receive_time)) AS day FROM yagura.events WHERE tenant = "
      "{{tenant:String}} AND {} AND {} ORDER BY day",
      RangeSql(WindowOf(hold), "hold", &query), condition);
  query.timeout = kMutationTimeout;
  YAGURA_ASSIGN_OR_RETURN(const auto rows, parts_.client->Select(query, kMostDays));
  std::vector<std::string> days;
  for (const auto& row : rows.rows) days.push_back(row.at(0).text);
  return days;
}

Status HoldKeeper::SetExpiry(const Hold& hold, const std::string& expiry,
                             const Condition& condition) {
  YAGURA_ASSIGN_OR_RETURN(const std::string first, condition());
  YAGURA_ASSIGN_OR_RETURN(const auto days, DaysWith(hold, first));
  for (const std::string& day : days) {
    if (day.size() != kDayDigits || day.find_first_not_of("0123456789") != std::string::npos) {
      return Internal("the event store names a day otherwise than we do");
    }
    YAGURA_RETURN_IF_ERROR(
        parts_.state->Command({"EXPIRE", std::string(kLeaseKey), std::string(kLeaseSeconds)})
            .status());
    YAGURA_ASSIGN_OR_RETURN(const std::string where, condition());
    eventstore::Query update;
    update.parameters["tenant"] = TenantOf(hold);
    update.sql = fmt::format(
        "ALTER TABLE yagura.events UPDATE expires = {} IN PARTITION ID '{}' WHERE tenant = "
        "{{tenant:String}} AND {} AND {}",
        expiry, day, RangeSql(WindowOf(hold), "hold", &update), where);
    update.settings["mutations_sync"] = "1";
    update.timeout = kMutationTimeout;
    YAGURA_RETURN_IF_ERROR(parts_.client->Execute(update));
  }
  return absl::OkStatus();
}

Status HoldKeeper::Apply(const Hold& hold) {
  YAGURA_RETURN_IF_ERROR(
      SetExpiry(hold, HeldSql(), [] { return fmt::format("expires < {}", HeldSql()); }));
  if (!HasSettled(hold.create_time())) return absl::OkStatus();
  const TimePoint now = parts_.clock->Now();
  parts_.logger.Info("a legal hold keeps all that is stored", {{"hold", hold.name()}});
  return holds_
      .Mutate(Context(), hold.name(),
              [now](Hold& stored) {
                if (!stored.has_applied_time()) *stored.mutable_applied_time() = ToProto(now);
                return absl::OkStatus();
              })
      .status();
}

StatusOr<std::string> HoldKeeper::Unheld(const std::string& tenant) const {
  YAGURA_ASSIGN_OR_RETURN(const auto all, ReadAll());
  std::string condition = fmt::format("expires = {}", HeldSql());
  for (const Hold& other : all) {
    if (other.state() != Hold::ACTIVE || TenantOf(other) != tenant) continue;
    const TimeWindow window = WindowOf(other);
    const auto nanoseconds = [](TimePoint time) { return time.time_since_epoch().count(); };
    condition += fmt::format(
        " AND NOT (toUnixTimestamp64Nano(receive_time) >= {} AND "
        "toUnixTimestamp64Nano(receive_time) < {})",
        nanoseconds(window.start), nanoseconds(window.end));
  }
  return condition;
}

// What no other hold keeps gets the expiry that it would have had, by the retention of today.
Status HoldKeeper::Settle(const Hold& hold) {
  // By the default what is kept for longer would go, and not come back.
  if (!parts_.retention.told()) return absl::OkStatus();
  const std::string tenant = TenantOf(hold);
  const TimePoint never;
  const auto kept = std::chrono::duration_cast<std::chrono::seconds>(
      parts_.retention.ExpiryOf(tenant, never) - never);
  const std::string expiry = fmt::format(
      "toDateTime(greatest(least(toUnixTimestamp(receive_time) + {}, {}), "
      "toUnixTimestamp(now()) + {}), 'UTC')",
      kept.count(), kHeldUntil - 1, options_.grace.count());
  YAGURA_RETURN_IF_ERROR(SetExpiry(hold, expiry, [&] { return Unheld(tenant); }));
  if (!HasSettled(hold.release_time())) return absl::OkStatus();
  const TimePoint now = parts_.clock->Now();
  parts_.logger.Info("what a legal hold kept goes as retention says", {{"hold", hold.name()}});
  return holds_
      .Mutate(Context(), hold.name(),
              [now](Hold& stored) {
                if (!stored.has_settled_time()) *stored.mutable_settled_time() = ToProto(now);
                return absl::OkStatus();
              })
      .status();
}

Status HoldKeeper::Turn() {
  YAGURA_RETURN_IF_ERROR(Load());
  YAGURA_ASSIGN_OR_RETURN(const auto all, ReadAll());
  const auto open = [](const Hold& hold) {
    return hold.state() == Hold::ACTIVE ? !hold.has_applied_time() : !hold.has_settled_time();
  };
  if (std::none_of(all.begin(), all.end(), open)) return absl::OkStatus();
  // Two at once do the same work twice: each asks anew, day by day, what is held.
  YAGURA_ASSIGN_OR_RETURN(const auto lease,
                          parts_.state->Command({"SET", std::string(kLeaseKey), "1", "NX", "EX",
                                                 std::string(kLeaseSeconds)}));
  if (lease.is_nil()) return absl::OkStatus();
  Status status;
  for (const Hold& hold : all) {
    if (!status.ok()) break;
    if (!open(hold)) continue;
    status = hold.state() == Hold::ACTIVE ? Apply(hold) : Settle(hold);
  }
  const auto released = parts_.state->Command({"DEL", std::string(kLeaseKey)});
  return status.ok() ? released.status() : status;
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
    if (const Status status = Turn(); !status.ok()) {
      parts_.logger.Warning("legal holds are not in force everywhere yet",
                            {{"why", Message(status)}});
    }
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, options_.interval, [this] { return woken_; });
    woken_ = false;
  }
}

}  // namespace yagura::archive
