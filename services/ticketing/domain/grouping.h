#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/clock/clock.h"
#include "services/ticketing/domain/ticket_rules.h"
#include "yagura/detection/v1/finding.pb.h"
#include "yagura/ticketing/v1/ticket.pb.h"

// Which ticket a finding belongs to, and what it adds there.
namespace yagura::ticketing {

// As many findings as may be delivered again after a crash must be remembered: a reader's batch
// times the shards stays below it.
inline constexpr int kRememberedFindings = 256;

// Findings with the same key are one matter. Findings without a dedup_key stand alone.
std::string GroupKey(const detection::v1::Finding& finding);
// Id of the n-th ticket of a matter, from 1: the same for every process and every time.
std::string TicketId(std::string_view group_key, uint32_t generation);

enum class Placement {
  kKnown,     // the ticket has it already
  kJoins,     // belongs to this ticket
  kOpensNext  // the ticket is resolved or closed: the next one of the matter
};
Placement Place(const v1::Ticket& ticket, const detection::v1::Finding& finding);

// The ticket that a finding opens; without number, etag and times of the store.
v1::Ticket OpenTicket(std::string_view tenant, const detection::v1::Finding& finding,
                      uint32_t generation, TimePoint now, const Deadlines& deadlines);
// Adds a finding to a ticket that does not have it. A graver one raises the priority, never lowers
// it.
void Join(v1::Ticket& ticket, const detection::v1::Finding& finding, const Deadlines& deadlines);

// Brings a ticket up to what one of its findings has grown to; any number of times and in any
// order, with the same result.
void Grow(v1::Ticket& ticket, const detection::v1::Finding& finding);

}  // namespace yagura::ticketing
