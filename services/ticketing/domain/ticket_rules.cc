#include "services/ticketing/domain/ticket_rules.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::ticketing {
namespace {

constexpr size_t kMaxRaw = 2048;

absl::Status NotFromHere(const v1::Ticket& ticket, std::string_view to) {
  const std::string state = v1::TicketState_Name(ticket.state());
  return MakeError(absl::StatusCode::kFailedPrecondition, "TICKET_STATE",
                   fmt::format("a ticket that is {} cannot become {}", state, to),
                   {{"resource", ticket.name()}, {"state", state}});
}

bool MayMove(v1::TicketState from, Transition transition) {
  switch (transition) {
    case Transition::kStart:
      return from == v1::NEW || from == v1::WAITING_FOR_CUSTOMER;
    case Transition::kWait:
      return from == v1::NEW || from == v1::IN_PROGRESS;
    case Transition::kResolve:
      return IsOpen(from);
    case Transition::kClose:
      return from == v1::RESOLVED;
    case Transition::kReopen:
      return from == v1::RESOLVED || from == v1::CLOSED;
  }
  return false;
}

v1::TicketState Target(Transition transition) {
  switch (transition) {
    case Transition::kStart:
    case Transition::kReopen:
      return v1::IN_PROGRESS;
    case Transition::kWait:
      return v1::WAITING_FOR_CUSTOMER;
    case Transition::kResolve:
      return v1::RESOLVED;
    case Transition::kClose:
      return v1::CLOSED;
  }
  return v1::TICKET_STATE_UNSPECIFIED;
}

bool IsOneLine(std::string_view text) {
  return IsValidUtf8(text) && std::none_of(text.begin(), text.end(), [](char c) {
           return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
         });
}

}  // namespace

v1::Priority PriorityOf(event::v1::Severity severity) {
  switch (severity) {
    case event::v1::CRITICAL:
      return v1::P1;
    case event::v1::HIGH:
      return v1::P2;
    case event::v1::MEDIUM:
      return v1::P3;
    default:
      return v1::P4;
  }
}

void SetDueTimes(v1::Ticket& ticket, TimePoint created, const Deadlines& deadlines) {
  const auto set = [&](std::chrono::minutes response, std::chrono::minutes resolution) {
    *ticket.mutable_first_response_due_time() = ToProto(created + response);
    *ticket.mutable_due_time() = ToProto(created + resolution);
  };
  switch (ticket.priority()) {
    case v1::P1:
      return set(deadlines.p1_response, deadlines.p1_resolution);
    case v1::P2:
      return set(deadlines.p2_response, deadlines.p2_resolution);
    case v1::P4:
      return set(deadlines.p4_response, deadlines.p4_resolution);
    default:
      return set(deadlines.p3_response, deadlines.p3_resolution);
  }
}

absl::Status Apply(v1::Ticket& ticket, Transition transition, std::string_view principal,
                   TimePoint now) {
  const v1::TicketState to = Target(transition);
  if (!MayMove(ticket.state(), transition)) return NotFromHere(ticket, v1::TicketState_Name(to));
  ticket.set_state(to);
  ticket.set_state_changed_by(std::string(principal));
  switch (transition) {
    case Transition::kStart:
      if (ticket.assignee().empty()) ticket.set_assignee(std::string(principal));
      NoteResponse(ticket, now);
      break;
    case Transition::kWait:
      NoteResponse(ticket, now);
      break;
    case Transition::kResolve:
      *ticket.mutable_resolve_time() = ToProto(now);
      break;
    case Transition::kClose:
      *ticket.mutable_close_time() = ToProto(now);
      break;
    case Transition::kReopen:
      ticket.clear_resolve_time();
      ticket.clear_close_time();
      ticket.clear_resolution();
      break;
  }
  return absl::OkStatus();
}

void NoteResponse(v1::Ticket& ticket, TimePoint now) {
  if (!ticket.has_first_response_time()) *ticket.mutable_first_response_time() = ToProto(now);
}

bool IsOpen(v1::TicketState state) {
  return state == v1::NEW || state == v1::IN_PROGRESS || state == v1::WAITING_FOR_CUSTOMER;
}

bool AddEvidence(v1::Ticket& ticket, v1::EvidenceLink link) {
  const auto& evidence = ticket.evidence();
  const bool known = std::any_of(evidence.begin(), evidence.end(), [&link](const auto& other) {
    return other.event_id() == link.event_id();
  });
  if (known) return true;
  if (evidence.size() >= kMaxEvidence) return false;
  if (link.raw().size() > kMaxRaw) link.mutable_raw()->resize(kMaxRaw);
  *ticket.add_evidence() = std::move(link);
  return true;
}

absl::Status ValidateText(const v1::Ticket& ticket) {
  FieldErrors errors;
  if (ticket.title().empty() || ticket.title().size() > 300 || !IsOneLine(ticket.title())) {
    errors.Add("ticket.title", "must be 1 to 300 bytes of UTF-8 in one line");
  }
  if (ticket.description().size() > 64 * 1024 || !IsValidUtf8(ticket.description())) {
    errors.Add("ticket.description", "must be at most 64 KiB of UTF-8");
  }
  if (!v1::Priority_IsValid(ticket.priority())) errors.Add("ticket.priority", "is no priority");
  return errors.ToStatus();
}

absl::Status ValidateEvidence(
    const google::protobuf::RepeatedPtrField<v1::EvidenceLink>& evidence) {
  FieldErrors errors;
  if (evidence.size() > kMaxEvidence) errors.Add("evidence", "has more than 200 events");
  for (int i = 0; i < std::min(evidence.size(), kMaxEvidence); ++i) {
    const std::string& id = evidence[i].event_id();
    if (id.empty() || id.size() > 128 || !IsOneLine(id)) {
      errors.Add(fmt::format("evidence[{}].event_id", i), "must be 1 to 128 bytes in one line");
    }
  }
  return errors.ToStatus();
}

}  // namespace yagura::ticketing
