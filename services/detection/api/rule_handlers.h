#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/store/projection.h"
#include "common/store/store.h"
#include "services/detection/domain/engine/rule_split.h"
#include "services/detection/storage/rule_versions.h"
#include "services/detection/workers/rule_book.h"
#include "yagura/detection/v1/detection_service.pb.h"

namespace yagura::rpc {
class Call;
class ServiceRegistry;
}  // namespace yagura::rpc

namespace yagura::detection {

// The methods about rules. Thread-safe.
class RuleHandlers {
 public:
  RuleHandlers(store::Store<v1::Rule> rules, RuleVersions versions,
               std::shared_ptr<store::FeedFollower> feed, std::shared_ptr<RuleBook> rule_book,
               std::shared_ptr<const Clock> clock);
  void Register(rpc::ServiceRegistry& registry);

  absl::StatusOr<v1::Rule> Create(const rpc::Call& call, const v1::CreateRuleRequest& request);
  absl::StatusOr<v1::Rule> Get(const rpc::Call& call, const v1::GetRuleRequest& request) const;
  absl::StatusOr<v1::RuleHistory> GetHistory(const rpc::Call& call,
                                             const v1::GetRuleHistoryRequest& request) const;
  absl::StatusOr<v1::ListRulesResponse> List(const rpc::Call& call,
                                             const v1::ListRulesRequest& request) const;
  absl::StatusOr<v1::Rule> Update(const rpc::Call& call, const v1::UpdateRuleRequest& request);
  absl::StatusOr<v1::DeleteRuleResponse> Delete(const rpc::Call& call,
                                                const v1::DeleteRuleRequest& request);
  absl::StatusOr<v1::ImportRulesResponse> Import(const rpc::Call& call,
                                                 const v1::ImportRulesRequest& request);
  absl::StatusOr<v1::TestRuleResponse> Test(const rpc::Call& call,
                                            const v1::TestRuleRequest& request) const;

 private:
  // One rule of an import; `result` has its source, cut. What the engine refuses is told there.
  absl::Status ImportOne(const rpc::Call& call, const v1::ImportRulesRequest& request,
                         const RulePart& part, const Placeholders& placeholders,
                         std::map<std::string, std::string>& sources, v1::ImportResult& result);

  RuleVersions::Change ChangeOf(const rpc::Call& call, const std::string& reason) const;

  store::Store<v1::Rule> rules_;
  const RuleVersions versions_;
  store::Projection<v1::Rule> all_tenants_;
  const std::shared_ptr<RuleBook> rule_book_;
  const std::shared_ptr<const Clock> clock_;
};

}  // namespace yagura::detection
