#include "services/detection/storage/kinds.h"

namespace yagura::detection {

store::Kind FindingKind() {
  return {.area = "detection",
          .kind = "finding",
          .pattern = "tenants/{tenant}/findings/{finding}",
          .indexes = {{"by_create_time", {}, "create_time"},
                      {"by_last_event_time", {}, "last_event_time"},
                      {"by_severity", {}, "severity"},
                      {"by_rule", {"rule_id"}, "create_time"},
                      {"by_dedup_key", {"dedup_key"}, "create_time"},
                      {"by_rank", {}, "rank"}},
          .index_version = 2};
}

store::Kind RuleResourceKind() {
  return {.area = "detection",
          .kind = "rule",
          .pattern = "tenants/{tenant}/rules/{rule}",
          .indexes = {{"by_title", {}, "title"},
                      {"by_severity", {}, "severity"},
                      {"by_update_time", {}, "update_time"}}};
}

store::Kind RuleVersionKind() {
  return {.area = "detection",
          .kind = "rule_version",
          .pattern = "tenants/{tenant}/rules/{rule}/versions/{version}",
          .indexes = {},
          .index_version = 2,
          .silent = true};
}

store::Kind PlaceholderKind() {
  return {.area = "detection",
          .kind = "placeholder",
          .pattern = "tenants/{tenant}/placeholders/{placeholder}",
          .indexes = {{"by_name", {}, "name"}, {"by_update_time", {}, "update_time"}}};
}

store::Kind RuleTuningKind() {
  return {.area = "detection",
          .kind = "rule_tuning",
          .pattern = "tenants/{tenant}/ruleTunings/{rule}",
          .indexes = {{"by_update_time", {}, "update_time"}, {"by_title", {}, "title"}}};
}

store::Kind HuntKind() {
  return {.area = "detection",
          .kind = "hunt",
          .pattern = "tenants/{tenant}/hunts/{hunt}",
          .indexes = {{"by_create_time", {}, "create_time"}}};
}

store::Kind HuntResultKind() {
  return {.area = "detection",
          .kind = "hunt_result",
          .pattern = "tenants/{tenant}/huntResults/{hunt}",
          .indexes = {{"by_create_time", {}, "create_time"}}};
}

store::Kind HuntPlanKind() {
  return {.area = "detection",
          .kind = "hunt_plan",
          .pattern = "tenants/{tenant}/huntPlans/{hunt}",
          .silent = true};
}

store::Kind HuntCheckpointKind() {
  return {.area = "detection",
          .kind = "hunt_checkpoint",
          .pattern = "tenants/{tenant}/huntCheckpoints/{hunt}",
          .silent = true};
}

store::Kind ObservationPolicyKind() {
  return {.area = "detection",
          .kind = "observation_policy",
          .pattern = "tenants/{tenant}/observationPolicies/{policy}",
          .indexes = {{"by_update_time", {}, "update_time"}}};
}

}  // namespace yagura::detection
