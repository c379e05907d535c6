#pragma once

#include <memory>

#include "absl/status/statusor.h"

#include "common/rpc/call.h"
#include "common/store/projection.h"
#include "common/store/store.h"
#include "services/detection/workers/rule_book.h"
#include "yagura/detection/v1/detection_service.pb.h"

namespace yagura::rpc {
class ServiceRegistry;
}

namespace yagura::detection {

// The methods about what is different for one tenant: placeholders, and what was agreed about
// rules. Thread-safe.
class TuningHandlers {
 public:
  TuningHandlers(store::Store<v1::Placeholder> placeholders, store::Store<v1::RuleTuning> tunings,
                 store::Store<v1::Rule> rules, std::shared_ptr<store::FeedFollower> feed,
                 std::shared_ptr<RuleBook> rule_book);
  void Register(rpc::ServiceRegistry& registry);

  absl::StatusOr<v1::Placeholder> GetPlaceholder(const rpc::Call& call,
                                                 const v1::GetPlaceholderRequest& request) const;
  absl::StatusOr<v1::ListPlaceholdersResponse> ListPlaceholders(
      const rpc::Call& call, const v1::ListPlaceholdersRequest& request) const;
  absl::StatusOr<v1::Placeholder> UpdatePlaceholder(const rpc::Call& call,
                                                    const v1::UpdatePlaceholderRequest& request);
  absl::StatusOr<v1::DeletePlaceholderResponse> DeletePlaceholder(
      const rpc::Call& call, const v1::DeletePlaceholderRequest& request);

  absl::StatusOr<v1::RuleTuning> GetTuning(const rpc::Call& call,
                                           const v1::GetRuleTuningRequest& request) const;
  absl::StatusOr<v1::ListRuleTuningsResponse> ListTunings(
      const rpc::Call& call, const v1::ListRuleTuningsRequest& request) const;
  absl::StatusOr<v1::RuleTuning> UpdateTuning(const rpc::Call& call,
                                              const v1::UpdateRuleTuningRequest& request);
  absl::StatusOr<v1::DeleteRuleTuningResponse> DeleteTuning(
      const rpc::Call& call, const v1::DeleteRuleTuningRequest& request);

 private:
  absl::Status CheckRoom(const rpc::Call& call, std::string_view name, size_t bytes) const;
  absl::StatusOr<v1::Rule> RuleOf(const rpc::Call& call, std::string_view rule_id) const;

  store::Store<v1::Placeholder> placeholders_;
  store::Store<v1::RuleTuning> tunings_;
  store::Store<v1::Rule> rules_;
  store::Projection<v1::Placeholder> all_placeholders_;
  store::Projection<v1::RuleTuning> all_tunings_;
  const std::shared_ptr<RuleBook> rule_book_;
};

}  // namespace yagura::detection
