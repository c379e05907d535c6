#include "services/archive/workers/unit_watch.h"

#include <set>
#include <utility>
#include <vector>

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "services/archive/storage/head_memory.h"
#include "services/archive/storage/proof_store.h"

namespace yagura::archive {
namespace {

// The store is asked about so many at a time.
constexpr size_t kAtOnce = 10'000;

}  // namespace

UnitWatch::UnitWatch(Parts parts) : parts_(std::move(parts)) {}

Status UnitWatch::Look(TimePoint now) {
  YAGURA_ASSIGN_OR_RETURN(const auto tenants, parts_.memory.Tenants());
  std::set<Day> looked;
  Status first;  // one day keeps no other from being looked at
  for (const std::string& tenant : tenants) {
    YAGURA_ASSIGN_OR_RETURN(const auto days, parts_.ledger.Days(tenant));
    for (const int64_t day : days) {
      looked.emplace(tenant, day);
      const Status status = LookAt({tenant, day}, now);
      if (first.ok()) first = status;
    }
  }
  const std::lock_guard lock(mutex_);
  std::erase_if(missing_, [&looked](const auto& entry) { return !looked.contains(entry.first); });
  return first;
}

Status UnitWatch::LookAt(const Day& day, TimePoint now) {
  const std::string& tenant = day.first;
  const int64_t number_of_day = day.second;
  // In this order: what the ledger has by now was stored before.
  YAGURA_ASSIGN_OR_RETURN(const auto stored, parts_.ledger.Stored(tenant, number_of_day));
  std::vector<uint64_t> asked;
  size_t missing = 0;
  const auto ask = [&]() -> Status {
    if (asked.empty()) return absl::OkStatus();
    YAGURA_ASSIGN_OR_RETURN(const auto there,
                            parts_.store.KnownUnits(tenant, number_of_day, asked));
    std::erase_if(asked, [&there](uint64_t number) { return there.contains(number); });
    // What is sealed and gone, verification tells of by its head.
    YAGURA_ASSIGN_OR_RETURN(const auto sealed,
                            parts_.store.SealedUnits(tenant, number_of_day, asked));
    missing += asked.size() - sealed.size();
    asked.clear();
    return absl::OkStatus();
  };
  for (const auto& [number, unit] : stored) {
    if (unit.IsDue(now) && now < unit.over) asked.push_back(number);
    if (asked.size() >= kAtOnce) YAGURA_RETURN_IF_ERROR(ask());
  }
  YAGURA_RETURN_IF_ERROR(ask());
  Tell(day, missing);
  return absl::OkStatus();
}

void UnitWatch::Tell(const Day& day, size_t missing) {
  {
    const std::lock_guard lock(mutex_);
    size_t& known = missing_[day];
    const bool more = missing > known;
    known = missing;
    if (!more) return;
  }
  const std::chrono::sys_days date{std::chrono::days(day.second)};
  parts_.logger.Error("units that were stored are gone from the event store, unsealed",
                      {{"tenant", day.first},
                       {"day", std::string_view(FormatTime(date)).substr(0, 10)},
                       {"units", missing}});
}

size_t UnitWatch::missing() const {
  const std::lock_guard lock(mutex_);
  size_t sum = 0;
  for (const auto& [day, count] : missing_) sum += count;
  return sum;
}

}  // namespace yagura::archive
