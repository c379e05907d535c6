#include "services/reporting/domain/content.h"

#include <algorithm>
#include <functional>
#include <map>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/text/text.h"

namespace yagura::reporting {
namespace {

constexpr int kMaxRows = 200;
constexpr int kTopSignatures = 10;

using event::v1::Severity;
using CountsByLabel = std::map<std::string, uint64_t>;

CountsByLabel CountsOf(const archive::v1::CountEventsResponse& response) {
  CountsByLabel counts;
  for (const auto& group : response.groups()) {
    if (group.values_size() > 0) counts[group.values(0)] += group.count();
  }
  return counts;
}

CountsByLabel FindingsBySeverity(const std::vector<detection::v1::Finding>& findings) {
  CountsByLabel counts;
  for (const auto& finding : findings) ++counts[event::v1::Severity_Name(finding.severity())];
  return counts;
}

uint64_t At(const CountsByLabel& counts, const std::string& label) {
  const auto at = counts.find(label);
  return at == counts.end() ? 0 : at->second;
}

void AddRow(google::protobuf::RepeatedPtrField<v1::CountRow>* rows, const std::string& label,
            uint64_t count, uint64_t previous) {
  auto& row = *rows->Add();
  row.set_label(label);
  row.set_count(count);
  row.set_previous_count(previous);
}

// Rows of every label of either month, the most frequent of this month first.
void AddRowsByCount(google::protobuf::RepeatedPtrField<v1::CountRow>* rows,
                    const CountsByLabel& current, const CountsByLabel& previous) {
  CountsByLabel all = previous;
  for (const auto& [label, count] : current) all[label] += 0;
  for (const auto& [label, unused] : all) {
    AddRow(rows, label, At(current, label), At(previous, label));
  }
  std::stable_sort(rows->begin(), rows->end(),
                   [](const auto& a, const auto& b) { return a.count() > b.count(); });
}

// Rows of all severities, the gravest first, those that never came left out.
void AddRowsBySeverity(google::protobuf::RepeatedPtrField<v1::CountRow>* rows,
                       const CountsByLabel& current, const CountsByLabel& previous) {
  for (int number = event::v1::Severity_MAX; number >= 0; --number) {
    const auto& label = event::v1::Severity_Name(static_cast<Severity>(number));
    const uint64_t now = At(current, label);
    const uint64_t before = At(previous, label);
    if (now + before > 0) AddRow(rows, label, now, before);
  }
}

void Compare(v1::Comparison* comparison, uint64_t current, uint64_t previous) {
  comparison->set_count(current);
  comparison->set_previous_count(previous);
}

void AddFindings(const Evidence& evidence, v1::ReportContent& content) {
  auto findings = evidence.current.findings;
  std::ranges::stable_sort(findings, [](const auto& a, const auto& b) {
    return std::pair(-a.severity(), a.first_event_time().seconds()) <
           std::pair(-b.severity(), b.first_event_time().seconds());
  });
  for (const auto& finding : findings) {
    if (content.finding_rows_size() == kMaxRows) break;
    auto& row = *content.add_finding_rows();
    row.set_name(finding.name());
    row.set_title(finding.title());
    row.set_severity(event::v1::Severity_Name(finding.severity()));
    *row.mutable_first_event_time() = finding.first_event_time();
    row.set_event_count(finding.event_count());
  }
}

void AddTickets(const Evidence& evidence, v1::ReportContent& content) {
  const auto add = [&content](const std::vector<ticketing::v1::Ticket>& tickets) {
    for (const auto& ticket : tickets) {
      if (content.ticket_rows_size() == kMaxRows) return;
      auto& row = *content.add_ticket_rows();
      row.set_name(ticket.name());
      row.set_title(ticket.title());
      row.set_state(ticketing::v1::TicketState_Name(ticket.state()));
      row.set_priority(ticketing::v1::Priority_Name(ticket.priority()));
      *row.mutable_create_time() = ticket.create_time();
      if (ticket.has_resolve_time()) *row.mutable_resolve_time() = ticket.resolve_time();
    }
  };
  add(evidence.open_tickets);
  add(evidence.current.opened_tickets);
}

// A customer reads who it was, not the name of a resource that only we can look up.
std::string PersonOf(const std::string& principal) {
  const auto parts = Split(principal, '/');
  if (parts.size() != 4) return principal;
  return parts[2] == "apiKeys" ? fmt::format("{} (API key)", parts[3]) : std::string(parts[3]);
}

void AddChanges(const Evidence& evidence, v1::ReportContent& content) {
  for (const auto& change : evidence.finished_changes) {
    if (content.change_rows_size() == kMaxRows) return;
    auto& row = *content.add_change_rows();
    row.set_name(change.name());
    row.set_title(change.title());
    row.set_state(config::v1::ChangeState_Name(change.state()));
    row.set_device(change.device());
    row.set_approver(PersonOf(change.approver()));
    *row.mutable_finish_time() =
        change.apply().has_end_time() ? change.apply().end_time() : change.update_time();
  }
}

void AddCoverage(const Evidence& evidence, TimePoint now, v1::ReportContent& content) {
  auto& coverage = *content.mutable_coverage();
  const auto over = std::min(now, evidence.month.end) - evidence.month.start;
  coverage.set_hours_in_month(static_cast<uint32_t>(
      std::max<int64_t>(0, std::chrono::ceil<std::chrono::hours>(over).count())));
  std::vector<v1::SourceRow> rows;
  for (const auto& source : evidence.coverage.sources()) {
    auto& row = rows.emplace_back();
    row.set_site(source.site());
    row.set_device(source.device());
    row.set_product(source.product());
    row.set_event_count(source.event_count());
    row.set_hours_with_events(source.hours_with_events());
    *row.mutable_last_receive_time() = source.last_receive_time();
    coverage.set_flawed_events(coverage.flawed_events() + source.flawed_count());
    coverage.set_clock_errors(coverage.clock_errors() + source.clock_error_count());
  }
  for (const auto& intake : evidence.intake) {
    auto row = std::ranges::find_if(rows, [&](const auto& one) {
      return one.site() == intake.site() && one.device() == intake.device();
    });
    if (row == rows.end()) {  // expected to send, and nothing is stored
      row = rows.emplace(rows.end());
      row->set_site(intake.site());
      row->set_device(intake.device().empty() ? intake.source() : intake.device());
    }
    const uint64_t lost = intake.lost_count() + intake.kernel_drop_count();
    row->set_lost_lines(row->lost_lines() + lost);
    row->set_silent_minutes(row->silent_minutes() + intake.silent_minutes());
    row->set_unwatched_minutes(row->unwatched_minutes() + intake.unwatched_minutes());
    coverage.set_lost_lines(coverage.lost_lines() + lost);
  }
  std::ranges::stable_sort(rows, {}, [](const auto& row) { return row.hours_with_events(); });
  for (auto& row : rows) {
    if (coverage.sources_size() == kMaxRows) break;
    *coverage.add_sources() = std::move(row);
  }
}

}  // namespace

v1::ReportContent MakeContent(const Evidence& evidence, TimePoint now) {
  const auto& current = evidence.current;
  const auto& previous = evidence.previous;
  v1::ReportContent content;
  content.set_tenant(evidence.tenant.name());
  content.set_display_name(evidence.tenant.display_name());
  content.set_month(evidence.month.text);
  content.set_time_zone(evidence.month.time_zone);
  *content.mutable_create_time() = ToProto(now);
  *content.mutable_start_time() = ToProto(evidence.month.start);
  *content.mutable_end_time() = ToProto(evidence.month.end);
  content.set_preliminary(now < evidence.month.end);

  Compare(content.mutable_events(), current.by_action.total(), previous.by_action.total());
  AddRowsByCount(content.mutable_events_by_action(), CountsOf(current.by_action),
                 CountsOf(previous.by_action));
  const auto previous_signatures = CountsOf(previous.by_signature);
  for (const auto& group : current.by_signature.groups()) {
    if (content.top_signatures_size() == kTopSignatures) break;
    AddRow(content.mutable_top_signatures(), group.values(0), group.count(),
           At(previous_signatures, group.values(0)));
  }
  AddRowsBySeverity(content.mutable_events_by_severity(), CountsOf(current.by_severity),
                    CountsOf(previous.by_severity));
  AddRowsBySeverity(content.mutable_findings_by_severity(), FindingsBySeverity(current.findings),
                    FindingsBySeverity(previous.findings));
  Compare(content.mutable_findings(), current.findings.size(), previous.findings.size());
  Compare(content.mutable_tickets_opened(), current.opened_tickets.size(),
          previous.opened_tickets.size());
  Compare(content.mutable_tickets_resolved(), current.resolved_tickets, previous.resolved_tickets);
  AddFindings(evidence, content);
  AddTickets(evidence, content);
  AddChanges(evidence, content);
  AddCoverage(evidence, now, content);
  return content;
}

}  // namespace yagura::reporting
