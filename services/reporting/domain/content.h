#pragma once

#include <vector>

#include "services/reporting/domain/month.h"
#include "yagura/archive/v1/archive_service.pb.h"
#include "yagura/config/v1/change.pb.h"
#include "yagura/coverage/v1/coverage.pb.h"
#include "yagura/detection/v1/finding.pb.h"
#include "yagura/directory/v1/tenant.pb.h"
#include "yagura/reporting/v1/report.pb.h"
#include "yagura/ticketing/v1/ticket.pb.h"

namespace yagura::reporting {

// What the other services say about one month.
struct MonthEvidence {
  archive::v1::CountEventsResponse by_action;
  archive::v1::CountEventsResponse by_signature;  // without events that have none
  archive::v1::CountEventsResponse by_severity;
  std::vector<detection::v1::Finding> findings;       // made in the month
  std::vector<ticketing::v1::Ticket> opened_tickets;  // opened in the month
  uint64_t resolved_tickets = 0;                      // resolved in the month
};

// Everything that a report is made of.
struct Evidence {
  directory::v1::Tenant tenant;
  Month month;
  MonthEvidence current;
  MonthEvidence previous;
  archive::v1::GetCoverageResponse coverage;         // of the month: what is stored
  std::vector<coverage::v1::Coverage> intake;        // of the month: what ingestion counted
  std::vector<ticketing::v1::Ticket> open_tickets;   // opened before the month, not closed
  std::vector<config::v1::Change> finished_changes;  // finished in the month
};

// The report of a month, made at `now`. Pure: the same evidence gives the same report.
v1::ReportContent MakeContent(const Evidence& evidence, TimePoint now);

}  // namespace yagura::reporting
