#pragma once

#include <memory>

#include "common/clock/clock.h"
#include "common/rpc/service_registry.h"
#include "services/ticketing/storage/stores.h"
#include "yagura/ticketing/v1/ticketing_service.pb.h"

namespace yagura::ticketing {

class CommentsApi {
 public:
  CommentsApi(Stores stores, std::shared_ptr<const Clock> clock);
  // The object must outlive the registry's use of it.
  void Register(rpc::ServiceRegistry& registry);

  absl::StatusOr<v1::Comment> Add(const rpc::Call& call, const v1::AddCommentRequest& request);
  absl::StatusOr<v1::ListCommentsResponse> List(const rpc::Call& call,
                                                const v1::ListCommentsRequest& request) const;

 private:
  absl::Status NoteOnTicket(const rpc::Call& call, const std::string& ticket, bool staff,
                            v1::Visibility visibility);

  Stores stores_;
  std::shared_ptr<const Clock> clock_;
};

}  // namespace yagura::ticketing
