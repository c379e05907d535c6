#include "services/detection/api/rule_state_handlers.h"

#include "fmt/format.h"

#include "common/rpc/service_registry.h"
#include "common/rpc/standard_methods.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "common/text/text.h"
#include "services/detection/domain/rule_resource.h"

namespace yagura::detection {
namespace {

StatusOr<StateChange> ChangeOf(const rpc::Call& call, const v1::SetRuleStateRequest& request,
                               TimePoint now) {
  if (!v1::RuleState_IsValid(request.state()) || request.state() == v1::RULE_STATE_UNSPECIFIED) {
    return InvalidField("state", "is none");
  }
  YAGURA_RETURN_IF_ERROR(CheckReason(request.reason()));
  StateChange change{request.state(), request.reason(), call.write_context().principal, now, {}};
  if (request.state() != v1::MUTED) {
    if (request.has_mute_expire_time()) {
      return InvalidField("mute_expire_time", "is of the state MUTED");
    }
    return change;
  }
  if (Trim(request.reason()).empty()) return InvalidField("reason", "is needed for a mute");
  if (!request.has_mute_expire_time()) {
    return InvalidField("mute_expire_time", "is needed for a mute");
  }
  const int64_t seconds = request.mute_expire_time().seconds();
  const auto latest = std::chrono::floor<std::chrono::seconds>(now + kLongestMute);
  if (seconds > latest.time_since_epoch().count() || FromProto(request.mute_expire_time()) <= now) {
    return InvalidField("mute_expire_time", "is not within the next 90 days");
  }
  change.mute_until = FromProto(request.mute_expire_time());
  return change;
}

Status CheckRule(const v1::Rule& rule, v1::RuleState from, const StateChange& change) {
  if (rule.kind() == v1::FILTER && IsUntold(change.state)) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "RULE_STATE",
                     "a filter finds nothing that could be kept untold");
  }
  return CheckMove(from, change.state);
}

}  // namespace

RuleStateHandlers::RuleStateHandlers(store::Store<v1::Rule> rules,
                                     store::Store<v1::RuleTuning> tunings,
                                     std::shared_ptr<RuleBook> rule_book,
                                     std::shared_ptr<const Clock> clock)
    : rules_(std::move(rules)),
      tunings_(std::move(tunings)),
      rule_book_(std::move(rule_book)),
      clock_(std::move(clock)) {}

void RuleStateHandlers::Register(rpc::ServiceRegistry& registry) {
  registry.Unary<v1::SetRuleStateRequest, v1::Rule>(
      "/yagura.detection.v1.DetectionService/SetRuleState",
      [this](const auto& call, const auto& request) { return Set(call, request); });
}

absl::StatusOr<v1::Rule> RuleStateHandlers::Set(const rpc::Call& call,
                                                const v1::SetRuleStateRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(const StateChange change, ChangeOf(call, request, clock_->Now()));
  auto context = call.write_context();
  context.detail = request.reason();
  auto changed = rules_.Mutate(context, request.name(), [&](v1::Rule& rule) -> Status {
    YAGURA_RETURN_IF_ERROR(rpc::CheckEtag(request.etag(), rule));
    YAGURA_RETURN_IF_ERROR(CheckRule(rule, StateOf(rule), change));
    SetState(change, rule);
    rule.set_enabled(IsMatched(change.state));
    return absl::OkStatus();
  });
  if (changed.status().code() == absl::StatusCode::kNotFound && call.tenant() != kProviderTenant) {
    changed = SetForTenant(call, request, change);
  }
  rule_book_->RequestReload();
  return changed;
}

// Of a provider's rule, for the call's tenant alone.
absl::StatusOr<v1::Rule> RuleStateHandlers::SetForTenant(const rpc::Call& call,
                                                         const v1::SetRuleStateRequest& request,
                                                         const StateChange& change) {
  if (!request.etag().empty()) {
    return InvalidField("etag", "is not for a provider's rule named under a tenant");
  }
  const std::string id(store::LastId(request.name()));
  YAGURA_ASSIGN_OR_RETURN(v1::Rule rule,
                          rules_.Get(fmt::format("tenants/{}/rules/{}", kProviderTenant, id)));
  auto context = call.write_context();
  context.detail = request.reason();
  const auto set = [&](v1::RuleTuning& tuning) -> Status {
    const v1::RuleState from =
        tuning.state() == v1::RULE_STATE_UNSPECIFIED ? StateOf(rule) : tuning.state();
    YAGURA_RETURN_IF_ERROR(CheckRule(rule, from, change));
    SetState(change, tuning);
    tuning.set_title(rule.title());
    return absl::OkStatus();
  };
  v1::RuleTuning fresh;
  fresh.set_name(fmt::format("tenants/{}/ruleTunings/{}", call.tenant(), id));
  auto tuning = tunings_.Mutate(context, fresh.name(), set);
  if (tuning.status().code() == absl::StatusCode::kNotFound) {
    YAGURA_RETURN_IF_ERROR(set(fresh));
    tuning = tunings_.Create(context, fresh);
  }
  if (!tuning.ok()) return tuning.status();
  ShowStateOf(*tuning, rule);
  return rule;
}

}  // namespace yagura::detection
