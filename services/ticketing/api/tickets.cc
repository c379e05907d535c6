#include "services/ticketing/api/tickets.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/filter/filter.h"
#include "common/store/resource_name.h"
#include "common/text/text.h"
#include "services/ticketing/api/resource_api.h"

namespace yagura::ticketing {
namespace {

constexpr std::string_view kProvider = "provider";
constexpr char kService[] = "/yagura.ticketing.v1.TicketingService/";

// The links as a person gives them: what only the server says is set here.
absl::Status AddLinks(v1::Ticket& ticket,
                      const google::protobuf::RepeatedPtrField<v1::EvidenceLink>& links,
                      const std::string& principal) {
  for (v1::EvidenceLink link : links) {
    link.clear_finding();
    link.set_linked_by(principal);
    const int before = ticket.evidence_size();
    if (!AddEvidence(ticket, std::move(link))) {
      return MakeError(absl::StatusCode::kResourceExhausted, "EVIDENCE_FULL",
                       fmt::format("a ticket holds {} events", kMaxEvidence),
                       {{"resource", ticket.name()}, {"limit", fmt::format("{}", kMaxEvidence)}});
    }
    ticket.set_event_count(ticket.event_count() +
                           static_cast<uint64_t>(ticket.evidence_size() - before));
  }
  return absl::OkStatus();
}

absl::Status ApplyMask(const google::protobuf::FieldMask& mask, const v1::Ticket& from,
                       v1::Ticket& to, const Deadlines& deadlines) {
  if (mask.paths().empty()) return InvalidField("update_mask", "names no field");
  for (const std::string& path : mask.paths()) {
    if (path == "title") {
      to.set_title(from.title());
    } else if (path == "description") {
      to.set_description(from.description());
    } else if (path == "priority") {
      to.set_priority(from.priority() == v1::PRIORITY_UNSPECIFIED ? v1::P3 : from.priority());
      SetDueTimes(to, FromProto(to.create_time()), deadlines);
    } else {
      return InvalidField("update_mask", fmt::format("\"{}\" cannot be changed", path));
    }
  }
  return ValidateText(to);
}

// Whoever works on a ticket is the customer's or the provider's.
absl::Status ValidateAssignee(const std::string& assignee, std::string_view tenant) {
  const bool plain =
      std::all_of(assignee.begin(), assignee.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  const auto parts = Split(assignee, '/');
  if (!plain || assignee.size() > 200 || parts.size() != 4 || parts[0] != "tenants" ||
      parts[2] != "users" || parts[3].empty()) {
    return InvalidField("assignee", "must be a name such as \"tenants/provider/users/alice\"");
  }
  if (parts[1] != tenant && parts[1] != kProvider) {
    return InvalidField("assignee", "is neither of the ticket's tenant nor of the provider");
  }
  return absl::OkStatus();
}

}  // namespace

TicketsApi::TicketsApi(Stores stores, const std::shared_ptr<store::FeedFollower>& feed,
                       std::shared_ptr<const Clock> clock, Deadlines deadlines,
                       UserCheck check_user)
    : stores_(std::move(stores)),
      clock_(std::move(clock)),
      deadlines_(deadlines),
      check_user_(std::move(check_user)),
      all_(stores_.tickets, feed) {}

absl::StatusOr<v1::Ticket> TicketsApi::Create(const rpc::Call& call,
                                              const v1::CreateTicketRequest& request) {
  YAGURA_RETURN_IF_ERROR(ValidateText(request.ticket()));
  YAGURA_RETURN_IF_ERROR(ValidateEvidence(request.evidence()));
  v1::Ticket ticket;
  ticket.set_name(fmt::format("{}/tickets/{}", request.parent(), store::NewUlid()));
  ticket.set_title(request.ticket().title());
  ticket.set_description(request.ticket().description());
  ticket.set_priority(request.ticket().priority() == v1::PRIORITY_UNSPECIFIED
                          ? v1::P3
                          : request.ticket().priority());
  ticket.set_state(v1::NEW);
  ticket.set_reporter(call.principal().name);
  SetDueTimes(ticket, clock_->Now(), deadlines_);
  YAGURA_RETURN_IF_ERROR(AddLinks(ticket, request.evidence(), call.principal().name));
  YAGURA_ASSIGN_OR_RETURN(const int64_t number, stores_.NextNumber(call.tenant()));
  ticket.set_number(number);
  return stores_.tickets.Create(call.write_context(), std::move(ticket));
}

absl::StatusOr<v1::Ticket> TicketsApi::Get(const rpc::Call& /*call*/,
                                           const v1::GetTicketRequest& request) const {
  return stores_.tickets.Get(request.name());
}

absl::StatusOr<v1::ListTicketsResponse> TicketsApi::List(
    const rpc::Call& call, const v1::ListTicketsRequest& request) const {
  YAGURA_ASSIGN_OR_RETURN(auto page,
                          ListPage(call, request, "create_time desc", stores_.tickets, all_));
  v1::ListTicketsResponse response;
  for (v1::Ticket& ticket : page.items) *response.add_tickets() = std::move(ticket);
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::Ticket> TicketsApi::Update(const rpc::Call& call,
                                              const v1::UpdateTicketRequest& request) {
  const v1::Ticket& wanted = request.ticket();
  return stores_.tickets.Mutate(
      call.write_context(), wanted.name(), [&](v1::Ticket& ticket) -> absl::Status {
        YAGURA_RETURN_IF_ERROR(CheckEtag(wanted.etag(), ticket));
        return ApplyMask(request.update_mask(), wanted, ticket, deadlines_);
      });
}

absl::StatusOr<v1::Ticket> TicketsApi::Assign(const rpc::Call& call,
                                              const v1::AssignTicketRequest& request) {
  if (!request.assignee().empty()) {
    YAGURA_RETURN_IF_ERROR(ValidateAssignee(request.assignee(), call.tenant()));
    const absl::Status known = check_user_(request.assignee());
    if (known.code() == absl::StatusCode::kNotFound) {
      return InvalidField("assignee", "there is no such user");
    }
    YAGURA_RETURN_IF_ERROR(known);
  }
  return stores_.tickets.Mutate(
      call.write_context(), request.name(), [&](v1::Ticket& ticket) -> absl::Status {
        YAGURA_RETURN_IF_ERROR(CheckEtag(request.etag(), ticket));
        if (ticket.state() == v1::CLOSED) {
          return MakeError(absl::StatusCode::kFailedPrecondition, "TICKET_STATE",
                           "a closed ticket is nobody's to work on",
                           {{"resource", ticket.name()}, {"state", "CLOSED"}});
        }
        ticket.set_assignee(request.assignee());
        return absl::OkStatus();
      });
}

absl::StatusOr<v1::Ticket> TicketsApi::Move(const rpc::Call& call, const std::string& name,
                                            const std::string& etag, Transition transition,
                                            const std::string& resolution) {
  return stores_.tickets.Mutate(
      call.write_context(), name, [&](v1::Ticket& ticket) -> absl::Status {
        YAGURA_RETURN_IF_ERROR(CheckEtag(etag, ticket));
        YAGURA_RETURN_IF_ERROR(Apply(ticket, transition, call.principal().name, clock_->Now()));
        if (transition == Transition::kResolve) ticket.set_resolution(resolution);
        return absl::OkStatus();
      });
}

absl::StatusOr<v1::Ticket> TicketsApi::Resolve(const rpc::Call& call,
                                               const v1::ResolveTicketRequest& request) {
  if (request.resolution().size() > 4096 || !IsValidUtf8(request.resolution())) {
    return InvalidField("resolution", "must be at most 4 KiB of UTF-8");
  }
  return Move(call, request.name(), request.etag(), Transition::kResolve, request.resolution());
}

absl::StatusOr<v1::Ticket> TicketsApi::Link(const rpc::Call& call,
                                            const v1::LinkEvidenceRequest& request) {
  if (request.evidence().empty()) return InvalidField("evidence", "names no event");
  YAGURA_RETURN_IF_ERROR(ValidateEvidence(request.evidence()));
  return stores_.tickets.Mutate(
      call.write_context(), request.name(), [&](v1::Ticket& ticket) -> absl::Status {
        YAGURA_RETURN_IF_ERROR(CheckEtag(request.etag(), ticket));
        return AddLinks(ticket, request.evidence(), call.principal().name);
      });
}

absl::StatusOr<std::shared_ptr<void>> TicketsApi::Watch(
    const rpc::Call& call, const v1::WatchTicketsRequest& request,
    const rpc::Outbox<v1::WatchTicketsResponse>& outbox) {
  YAGURA_ASSIGN_OR_RETURN(
      const filter::Filter filter,
      filter::Filter::Parse(request.filter(), filter::Schema(v1::Ticket::descriptor()),
                            clock_->Now()));
  auto watch = all_.Watch(ScopeOf(call),
                          [filter, outbox](const audit::v1::Record&, const v1::Ticket* ticket) {
                            if (ticket == nullptr || !filter.Matches(*ticket)) return;
                            v1::WatchTicketsResponse response;
                            *response.mutable_ticket() = *ticket;
                            outbox.Push(std::move(response));
                          });
  outbox.Push(v1::WatchTicketsResponse());
  return watch;
}

template <typename Request>
void TicketsApi::RegisterMove(rpc::ServiceRegistry& registry, const std::string& method,
                              Transition transition) {
  registry.Unary<Request, v1::Ticket>(
      kService + method, [this, transition](const rpc::Call& call, const Request& request) {
        return Move(call, request.name(), request.etag(), transition);
      });
}

void TicketsApi::Register(rpc::ServiceRegistry& registry) {
  const std::string service = kService;
  registry.Unary<v1::CreateTicketRequest, v1::Ticket>(
      service + "CreateTicket",
      [this](const auto& call, const auto& r) { return Create(call, r); });
  registry.Unary<v1::GetTicketRequest, v1::Ticket>(
      service + "GetTicket", [this](const auto& call, const auto& r) { return Get(call, r); });
  registry.Unary<v1::ListTicketsRequest, v1::ListTicketsResponse>(
      service + "ListTickets", [this](const auto& call, const auto& r) { return List(call, r); });
  registry.Unary<v1::UpdateTicketRequest, v1::Ticket>(
      service + "UpdateTicket",
      [this](const auto& call, const auto& r) { return Update(call, r); });
  registry.Unary<v1::AssignTicketRequest, v1::Ticket>(
      service + "AssignTicket",
      [this](const auto& call, const auto& r) { return Assign(call, r); });
  RegisterMove<v1::StartTicketRequest>(registry, "StartTicket", Transition::kStart);
  RegisterMove<v1::WaitForCustomerRequest>(registry, "WaitForCustomer", Transition::kWait);
  RegisterMove<v1::CloseTicketRequest>(registry, "CloseTicket", Transition::kClose);
  RegisterMove<v1::ReopenTicketRequest>(registry, "ReopenTicket", Transition::kReopen);
  registry.Unary<v1::ResolveTicketRequest, v1::Ticket>(
      service + "ResolveTicket",
      [this](const auto& call, const auto& r) { return Resolve(call, r); });
  registry.Unary<v1::LinkEvidenceRequest, v1::Ticket>(
      service + "LinkEvidence", [this](const auto& call, const auto& r) { return Link(call, r); });
  registry.Watch<v1::WatchTicketsRequest, v1::WatchTicketsResponse>(
      service + "WatchTickets",
      [this](const auto& call, const auto& r, auto outbox) { return Watch(call, r, outbox); });
}

}  // namespace yagura::ticketing
