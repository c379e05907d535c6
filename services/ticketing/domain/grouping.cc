#include "services/ticketing/domain/grouping.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/digest/sha256.h"
#include "common/text/characters.h"
#include "common/text/text.h"

namespace yagura::ticketing {
namespace {

constexpr int kMaxTags = 50;

// One printable line of at most `max_bytes`, cut between characters.
std::string Line(std::string_view text, size_t max_bytes) {
  const std::string line = EscapeForTerminal(CharactersWithin(text, max_bytes));
  return std::string(CharactersWithin(line, max_bytes));
}

bool Before(const google::protobuf::Timestamp& a, const google::protobuf::Timestamp& b) {
  return std::pair(a.seconds(), a.nanos()) < std::pair(b.seconds(), b.nanos());
}

std::string_view RoleText(const detection::v1::Entity& entity) {
  return entity.role().empty() ? std::string_view("involved") : std::string_view(entity.role());
}

// Texts are made printable where they are made.
std::string AdviceOf(const detection::v1::Finding& finding) {
  std::string text;
  if (!finding.impact().reasons().empty()) {
    text +=
        fmt::format("\nImpact: {}\n", detection::v1::ImpactLevel_Name(finding.impact().level()));
    for (int i = 0; i < std::min(finding.impact().reasons_size(), 12); ++i) {
      text += fmt::format("- {}\n", Line(finding.impact().reasons(i), 400));
    }
  }
  if (finding.advice().texts().empty()) return text;
  const auto& advice = finding.advice().texts(0);
  const bool japanese = advice.language() == "ja";
  return text +
         fmt::format("\n{}\n\n{}\n{}\n\n{}\n{}\n", Line(advice.title(), 300),
                     japanese ? "原因:" : "Cause:", Line(advice.cause(), 8000),
                     japanese ? "対策:" : "What to do:", Line(advice.countermeasure(), 8000));
}

std::string Describe(const detection::v1::Finding& finding) {
  std::string text;
  if (!finding.description().empty()) text += Line(finding.description(), 4000) + "\n\n";
  for (int i = 0; i < std::min(finding.entities_size(), 20); ++i) {
    const auto& entity = finding.entities(i);
    text += fmt::format("{}: {}\n", Line(RoleText(entity), 40), Line(entity.value(), 200));
  }
  if (!finding.false_positives().empty()) {
    text += "\nMay be harmless:\n";
    for (int i = 0; i < std::min(finding.false_positives_size(), 10); ++i) {
      text += fmt::format("- {}\n", Line(finding.false_positives(i), 300));
    }
  }
  return text + AdviceOf(finding);
}

// What was blocked can wait longer than what came through.
v1::Priority UrgencyOf(const detection::v1::Finding& finding) {
  const v1::Priority priority = PriorityOf(finding.severity());
  const bool waits = finding.impact().level() == detection::v1::BLOCKED && priority < v1::P4;
  return waits ? static_cast<v1::Priority>(priority + 1) : priority;
}

// A graver finding, or one that came through, raises the priority.
void TakeUrgency(v1::Ticket& ticket, const detection::v1::Finding& finding,
                 const Deadlines& deadlines) {
  const bool worse = finding.impact().level() > ticket.impact().level();
  if (worse) *ticket.mutable_impact() = finding.impact();
  // What a person has set since stays, as long as it is not graver than before.
  if (!worse && finding.severity() <= ticket.severity()) return;
  ticket.set_severity(std::max(ticket.severity(), finding.severity()));
  const v1::Priority priority = UrgencyOf(finding);
  if (priority >= ticket.priority()) return;  // lower numbers are more urgent
  ticket.set_priority(priority);
  SetDueTimes(ticket, FromProto(ticket.create_time()), deadlines);
}

void WidenTimes(v1::Ticket& ticket, const detection::v1::Finding& finding) {
  if (finding.has_first_event_time() &&
      (!ticket.has_first_event_time() ||
       Before(finding.first_event_time(), ticket.first_event_time()))) {
    *ticket.mutable_first_event_time() = finding.first_event_time();
  }
  if (finding.has_last_event_time() &&
      (!ticket.has_last_event_time() ||
       Before(ticket.last_event_time(), finding.last_event_time()))) {
    *ticket.mutable_last_event_time() = finding.last_event_time();
  }
}

void LinkEvidence(v1::Ticket& ticket, const detection::v1::Finding& finding) {
  for (const auto& evidence : finding.evidence()) {
    v1::EvidenceLink link;
    link.set_event_id(evidence.event_id());
    *link.mutable_event_time() = evidence.event_time();
    *link.mutable_receive_time() = evidence.receive_time();
    link.set_raw(evidence.raw());
    link.set_finding(finding.name());
    if (!AddEvidence(ticket, std::move(link))) break;  // event_count tells that there are more
  }
}

// The finding's name and how many of its events are counted, at the same place.
void Remember(v1::Ticket& ticket, const detection::v1::Finding& finding) {
  auto& names = *ticket.mutable_findings();
  auto& counts = *ticket.mutable_finding_event_counts();
  counts.Resize(names.size(), 0);
  if (const int excess = names.size() - kRememberedFindings + 1; excess > 0) {
    names.DeleteSubrange(0, excess);
    counts.erase(counts.begin(), counts.begin() + excess);
  }
  *names.Add() = finding.name();
  counts.Add(finding.event_count());
}

// Counts what the finding has gained since it was counted.
void CountGrowth(v1::Ticket& ticket, const detection::v1::Finding& finding) {
  const auto& names = ticket.findings();
  const auto at =
      static_cast<int>(std::find(names.begin(), names.end(), finding.name()) - names.begin());
  if (at >= ticket.finding_event_counts_size()) return;
  const uint64_t counted = ticket.finding_event_counts(at);
  if (counted == 0 || finding.event_count() <= counted) return;
  ticket.set_event_count(ticket.event_count() + finding.event_count() - counted);
  ticket.set_finding_event_counts(at, finding.event_count());
}

}  // namespace

std::string GroupKey(const detection::v1::Finding& finding) {
  return finding.dedup_key().empty() ? Sha256Hex("finding\n" + finding.name())
                                     : Sha256Hex("key\n" + finding.dedup_key());
}

std::string TicketId(std::string_view group_key, uint32_t generation) {
  return fmt::format("{}-{}", group_key.substr(0, 24), generation);
}

Placement Place(const v1::Ticket& ticket, const detection::v1::Finding& finding) {
  const auto& names = ticket.findings();
  if (std::find(names.begin(), names.end(), finding.name()) != names.end()) {
    return Placement::kKnown;
  }
  return IsOpen(ticket.state()) ? Placement::kJoins : Placement::kOpensNext;
}

v1::Ticket OpenTicket(std::string_view tenant, const detection::v1::Finding& finding,
                      uint32_t generation, TimePoint now, const Deadlines& deadlines) {
  v1::Ticket ticket;
  ticket.set_group_key(GroupKey(finding));
  ticket.set_generation(generation);
  ticket.set_name(
      fmt::format("tenants/{}/tickets/{}", tenant, TicketId(ticket.group_key(), generation)));
  if (generation > 1) {
    ticket.set_previous_ticket(
        fmt::format("tenants/{}/tickets/{}", tenant, TicketId(ticket.group_key(), generation - 1)));
  }
  ticket.set_state(v1::NEW);
  ticket.set_title(Line(finding.title(), 300));
  if (ticket.title().empty()) ticket.set_title("Finding without a title");
  ticket.set_description(Describe(finding));
  ticket.set_reporter("services/ticketing");
  ticket.set_rule_id(finding.rule_id());
  ticket.set_device(finding.device());
  ticket.set_site(finding.site());
  if (!finding.advice().texts().empty()) *ticket.mutable_advice() = finding.advice().texts(0);
  ticket.set_priority(v1::P4);
  *ticket.mutable_create_time() =
      ToProto(now);  // the store sets its own; due times count from here
  SetDueTimes(ticket, now, deadlines);
  Join(ticket, finding, deadlines);
  return ticket;
}

void Join(v1::Ticket& ticket, const detection::v1::Finding& finding, const Deadlines& deadlines) {
  Remember(ticket, finding);
  ticket.set_finding_count(ticket.finding_count() + 1);
  ticket.set_event_count(ticket.event_count() + finding.event_count());
  TakeUrgency(ticket, finding, deadlines);
  WidenTimes(ticket, finding);
  for (const std::string& tag : finding.tags()) {
    auto& tags = *ticket.mutable_tags();
    if (tags.size() >= kMaxTags) break;
    if (std::find(tags.begin(), tags.end(), tag) == tags.end()) *tags.Add() = Line(tag, 100);
  }
  LinkEvidence(ticket, finding);
}

void Grow(v1::Ticket& ticket, const detection::v1::Finding& finding) {
  CountGrowth(ticket, finding);
  if (finding.impact().level() > ticket.impact().level()) {
    *ticket.mutable_impact() = finding.impact();
  }
  WidenTimes(ticket, finding);
  LinkEvidence(ticket, finding);
}

}  // namespace yagura::ticketing
