#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "common/clock/clock.h"
#include "yagura/event/v1/event.pb.h"
#include "yagura/ticketing/v1/ticket.pb.h"

// What may happen to a ticket.
namespace yagura::ticketing {

// How long each priority may wait, from creation, by the wall clock.
struct Deadlines {
  std::chrono::minutes p1_response{30};
  std::chrono::minutes p1_resolution{4 * 60};
  std::chrono::minutes p2_response{2 * 60};
  std::chrono::minutes p2_resolution{8 * 60};
  std::chrono::minutes p3_response{8 * 60};
  std::chrono::minutes p3_resolution{3 * 24 * 60};
  std::chrono::minutes p4_response{24 * 60};
  std::chrono::minutes p4_resolution{7 * 24 * 60};
};

v1::Priority PriorityOf(event::v1::Severity severity);
// Sets both due times for the ticket's priority. `created` is the ticket's beginning.
void SetDueTimes(v1::Ticket& ticket, TimePoint created, const Deadlines& deadlines);

enum class Transition { kStart, kWait, kResolve, kClose, kReopen };
// Moves the ticket and stamps what belongs to the move. FAILED_PRECONDITION (TICKET_STATE) where it
// is not allowed from where the ticket is.
absl::Status Apply(v1::Ticket& ticket, Transition transition, std::string_view principal,
                   TimePoint now);

// The first sign of life towards the customer; later ones change nothing.
void NoteResponse(v1::Ticket& ticket, TimePoint now);

bool IsOpen(v1::TicketState state);  // neither RESOLVED nor CLOSED

inline constexpr int kMaxEvidence = 200;
// Adds an event unless the ticket has it or is full. False where it is full.
bool AddEvidence(v1::Ticket& ticket, v1::EvidenceLink link);

// What may be stored; INVALID_ARGUMENT names every field that is wrong.
absl::Status ValidateText(const v1::Ticket& ticket);
absl::Status ValidateEvidence(const google::protobuf::RepeatedPtrField<v1::EvidenceLink>& evidence);

}  // namespace yagura::ticketing
