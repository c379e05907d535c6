#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/clock/clock.h"
#include "common/rpc/service_registry.h"
#include "common/store/projection.h"
#include "services/ticketing/domain/ticket_rules.h"
#include "services/ticketing/storage/stores.h"
#include "yagura/ticketing/v1/ticketing_service.pb.h"

namespace yagura::ticketing {

// Whether a user such as "tenants/acme/users/alice" is there and may log in. NOT_FOUND, or
// FAILED_PRECONDITION where disabled; anything else: not known just now.
using UserCheck = std::function<absl::Status(const std::string& user)>;

class TicketsApi {
 public:
  TicketsApi(Stores stores, const std::shared_ptr<store::FeedFollower>& feed,
             std::shared_ptr<const Clock> clock, Deadlines deadlines, UserCheck check_user);
  // The object must outlive the registry's use of it.
  void Register(rpc::ServiceRegistry& registry);

  absl::StatusOr<v1::Ticket> Create(const rpc::Call& call, const v1::CreateTicketRequest& request);
  absl::StatusOr<v1::Ticket> Get(const rpc::Call& call, const v1::GetTicketRequest& request) const;
  absl::StatusOr<v1::ListTicketsResponse> List(const rpc::Call& call,
                                               const v1::ListTicketsRequest& request) const;
  absl::StatusOr<v1::Ticket> Update(const rpc::Call& call, const v1::UpdateTicketRequest& request);
  absl::StatusOr<v1::Ticket> Assign(const rpc::Call& call, const v1::AssignTicketRequest& request);
  // StartTicket, WaitForCustomer, CloseTicket, ReopenTicket; `resolution` for ResolveTicket.
  absl::StatusOr<v1::Ticket> Move(const rpc::Call& call, const std::string& name,
                                  const std::string& etag, Transition transition,
                                  const std::string& resolution = "");
  absl::StatusOr<v1::Ticket> Resolve(const rpc::Call& call,
                                     const v1::ResolveTicketRequest& request);
  absl::StatusOr<v1::Ticket> Link(const rpc::Call& call, const v1::LinkEvidenceRequest& request);
  absl::StatusOr<std::shared_ptr<void>> Watch(const rpc::Call& call,
                                              const v1::WatchTicketsRequest& request,
                                              const rpc::Outbox<v1::WatchTicketsResponse>& outbox);

 private:
  template <typename Request>
  void RegisterMove(rpc::ServiceRegistry& registry, const std::string& method,
                    Transition transition);

  Stores stores_;
  std::shared_ptr<const Clock> clock_;
  const Deadlines deadlines_;
  const UserCheck check_user_;
  store::Projection<v1::Ticket> all_;
};

}  // namespace yagura::ticketing
