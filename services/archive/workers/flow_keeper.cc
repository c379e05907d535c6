#include "services/archive/workers/flow_keeper.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/eventstore/client.h"
#include "common/status/status.h"
#include "services/archive/workers/retention.h"

namespace yagura::archive {
namespace {

int64_t DayOf(TimePoint time) {
  return std::chrono::floor<std::chrono::days>(time).time_since_epoch().count();
}

}  // namespace

FlowKeeper::FlowKeeper(std::shared_ptr<eventstore::Client> client, const Retention& retention)
    : client_(std::move(client)), retention_(retention) {}

Status FlowKeeper::Sweep(TimePoint now) const {
  constexpr size_t kMostTenants = 1'000'000;
  eventstore::Query oldest;
  oldest.sql = "SELECT toString(tenant) AS t, min(day) FROM yagura.flows GROUP BY t";
  YAGURA_ASSIGN_OR_RETURN(const auto tenants, client_->Select(oldest, kMostTenants));
  std::map<int64_t, std::vector<std::string>> over;  // by the first day that stays
  for (const auto& row : tenants.rows) {
    const std::string& tenant = row.at(0).text;
    int64_t stays = DayOf(now) - retention_.FlowDaysOf(tenant);
    for (const TimeWindow& hold : retention_.HoldsOf(tenant)) {
      stays = std::min(stays, DayOf(hold.start));
    }
    if (DayOf(row.at(1).AsTime()) < stays) over[stays].push_back(tenant);
  }
  for (const auto& [stays, names] : over) {
    eventstore::Query drop;
    drop.sql =
        "ALTER TABLE yagura.flows DELETE WHERE day < toDate({stays:UInt16}) AND "
        "has({tenants:Array(String)}, tenant)";
    drop.parameters["stays"] = std::to_string(stays);
    drop.array_parameters["tenants"] = eventstore::ArrayParameter(names);
    YAGURA_RETURN_IF_ERROR(client_->Execute(drop));
  }
  return absl::OkStatus();
}

}  // namespace yagura::archive
