#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "services/detection/workers/log_look.h"
#include "services/detection/workers/rule_book.h"
#include "yagura/detection/v1/detection_service.pb.h"

namespace yagura::rpc {
class Call;
class ServiceRegistry;
}  // namespace yagura::rpc

namespace yagura::detection {

// ListRuleCoverage and ListTechniqueCoverage. Thread-safe.
class RuleCoverageHandlers {
 public:
  RuleCoverageHandlers(store::Store<v1::Rule> rules, std::shared_ptr<RuleBook> rule_book,
                       std::shared_ptr<LogLook> look, std::shared_ptr<const Clock> clock);
  void Register(rpc::ServiceRegistry& registry);

  absl::StatusOr<v1::ListRuleCoverageResponse> List(const rpc::Call& call,
                                                    const v1::ListRuleCoverageRequest& request);
  absl::StatusOr<v1::ListTechniqueCoverageResponse> ListTechniques(
      const rpc::Call& call, const v1::ListTechniqueCoverageRequest& request);

 private:
  // Of all rules in force for a tenant, by name.
  struct Answer {
    std::vector<v1::RuleCoverage> rules;
    uint64_t events = 0;
  };
  struct Kept {
    std::shared_ptr<const Answer> answer;
    SteadyTime until;
  };
  absl::StatusOr<std::shared_ptr<const Answer>> AnswerFor(const rpc::Call& call, int days);
  absl::StatusOr<Answer> Compute(const rpc::Call& call, int days);

  const store::Store<v1::Rule> rules_;
  const std::shared_ptr<RuleBook> rule_book_;
  const std::shared_ptr<LogLook> look_;
  const std::shared_ptr<const Clock> clock_;
  std::mutex mutex_;
  std::map<std::string, Kept> kept_;  // by tenant, days and rule set
};

}  // namespace yagura::detection
