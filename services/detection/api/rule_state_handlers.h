#pragma once

#include <memory>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/store/store.h"
#include "services/detection/domain/rule_state.h"
#include "services/detection/workers/rule_book.h"
#include "yagura/detection/v1/detection_service.pb.h"

namespace yagura::rpc {
class Call;
class ServiceRegistry;
}  // namespace yagura::rpc

namespace yagura::detection {

// SetRuleState. Thread-safe.
class RuleStateHandlers {
 public:
  RuleStateHandlers(store::Store<v1::Rule> rules, store::Store<v1::RuleTuning> tunings,
                    std::shared_ptr<RuleBook> rule_book, std::shared_ptr<const Clock> clock);
  void Register(rpc::ServiceRegistry& registry);

  absl::StatusOr<v1::Rule> Set(const rpc::Call& call, const v1::SetRuleStateRequest& request);

 private:
  absl::StatusOr<v1::Rule> SetForTenant(const rpc::Call& call,
                                        const v1::SetRuleStateRequest& request,
                                        const StateChange& change);

  store::Store<v1::Rule> rules_;
  store::Store<v1::RuleTuning> tunings_;
  const std::shared_ptr<RuleBook> rule_book_;
  const std::shared_ptr<const Clock> clock_;
};

}  // namespace yagura::detection
