#include "services/notification/storage/stores.h"

namespace yagura::notification {
namespace {

store::Kind Kind(const char* kind, const char* pattern, std::vector<store::Index> indexes) {
  store::Kind out;
  out.area = "notification";
  out.kind = kind;
  out.pattern = pattern;
  out.indexes = std::move(indexes);
  return out;
}

}  // namespace

Stores OpenStores(const std::shared_ptr<redis::Pool>& state,
                  const std::shared_ptr<const Clock>& clock) {
  return {
      {state,
       Kind("alert", kAlertPattern,
            {{"by_create", {}, "create_time"},
             {"by_state", {"state"}, "create_time"},
             {"by_severity", {}, "severity"},
             {"by_last_finding", {}, "last_finding_time"},
             {"by_group", {"group_key"}, "generation"}}),
       clock},
      {state,
       Kind("contact", kContactPattern,
            {{"by_create", {}, "create_time"}, {"by_display_name", {}, "display_name"}}),
       clock},
      {state, Kind("route", kRoutePattern, {{"by_create", {}, "create_time"}}), clock},
      {state,
       Kind("delivery", kDeliveryPattern,
            {{"by_create", {}, "create_time"},
             {"by_alert", {"alert"}, "create_time"},
             {"by_state", {"state"}, "create_time"}}),
       clock},
      {state, Kind("contact_secret", kContactSecretPattern, {}), clock},
  };
}

}  // namespace yagura::notification
