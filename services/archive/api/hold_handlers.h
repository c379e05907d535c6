#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/rpc/call.h"
#include "common/store/projection.h"
#include "common/store/store.h"
#include "yagura/archive/v1/legal_hold_service.pb.h"

namespace yagura::store {
class FeedFollower;
}

namespace yagura::archive {

// The answers of LegalHoldService. Thread-safe.
class HoldHandlers {
 public:
  // `changed` is told of every hold that was made or released.
  HoldHandlers(store::Store<v1::LegalHold> holds, std::shared_ptr<store::FeedFollower> feed,
               std::shared_ptr<const Clock> clock, std::function<void()> changed);

  absl::StatusOr<v1::LegalHold> Create(const rpc::Call& call,
                                       const v1::CreateLegalHoldRequest& request);
  absl::StatusOr<v1::LegalHold> Get(const rpc::Call& call,
                                    const v1::GetLegalHoldRequest& request) const;
  absl::StatusOr<v1::ListLegalHoldsResponse> List(const rpc::Call& call,
                                                  const v1::ListLegalHoldsRequest& request) const;
  absl::StatusOr<v1::LegalHold> Release(const rpc::Call& call,
                                        const v1::ReleaseLegalHoldRequest& request);

 private:
  store::Store<v1::LegalHold> holds_;
  const store::Projection<v1::LegalHold> all_;
  const std::shared_ptr<const Clock> clock_;
  const std::function<void()> changed_;
};

}  // namespace yagura::archive
