#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/store/resource_name.h"
#include "common/store/store.h"
#include "services/detection/storage/kinds.h"
#include "yagura/detection/internal/v1/hunts.pb.h"
#include "yagura/detection/v1/hunt.pb.h"

namespace yagura::detection {

// What is kept of hunts. Thread-safe.
struct HuntStore {
  HuntStore(const std::shared_ptr<redis::Pool>& state, const std::shared_ptr<const Clock>& clock)
      : hunts(state, HuntKind(), clock),
        results(state, HuntResultKind(), clock),
        plans(state, HuntPlanKind(), clock),
        checkpoints(state, HuntCheckpointKind(), clock) {}

  // "tenants/{tenant}/huntPlans/{hunt}" of a hunt or result.
  static std::string PlanName(std::string_view hunt) { return Name(hunt, "huntPlans"); }
  static std::string CheckpointName(std::string_view result) {
    return Name(result, "huntCheckpoints");
  }
  static std::string ResultName(std::string_view tenant, std::string_view hunt) {
    return "tenants/" + std::string(tenant) + "/huntResults/" + std::string(store::LastId(hunt));
  }

  store::Store<v1::Hunt> hunts;
  store::Store<v1::HuntResult> results;
  store::Store<internal::v1::HuntPlan> plans;
  store::Store<internal::v1::HuntCheckpoint> checkpoints;

 private:
  static std::string Name(std::string_view of, std::string_view collection) {
    return "tenants/" + std::string(store::TenantOf(of).value_or("")) + "/" +
           std::string(collection) + "/" + std::string(store::LastId(of));
  }
};

// Whether nothing more becomes of it.
inline bool IsOver(v1::HuntState state) {
  return state == v1::DONE || state == v1::FAILED || state == v1::CANCELLED;
}

}  // namespace yagura::detection
