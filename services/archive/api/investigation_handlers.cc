#include "services/archive/api/investigation_handlers.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/filter/filter.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/archive/api/coverage_reader.h"
#include "services/archive/domain/trace.h"
#include "services/archive/storage/unstored_events.h"

namespace yagura::archive {
namespace {

using std::chrono::hours;
using std::chrono::nanoseconds;

constexpr hours kUsualBefore{24};
constexpr hours kUsualAfter{1};
constexpr hours kMostAround{31 * 24};
constexpr hours kLookBack{30 * 24};
constexpr int kUsualTimeline = 100;
constexpr int kMostTimeline = 1'000;
constexpr size_t kMostPeers = 100;
constexpr size_t kMostFacts = 100;
constexpr size_t kMostSources = 1'000;
constexpr size_t kMostCandidates = 50;
constexpr int kTracedCandidates = 10;
constexpr size_t kMostTerminals = 10;

// Ingestion tells what it counted every `coverage_interval`, 10 minutes at most.
constexpr std::chrono::minutes kToldWithin{12};

// Of senders whose lines nobody is known to have counted.
std::string WhyUncounted(const google::protobuf::RepeatedPtrField<v1::SourceCoverage>& senders,
                         TimePoint now) {
  if (senders.empty()) return "no source sent anything around that time, as far as is known";
  TimePoint first = TimePoint::max();
  for (const v1::SourceCoverage& sender : senders) {
    first = std::min(first, FromProto(sender.first_receive_time()));
  }
  if (first > now - kToldWithin) {
    return fmt::format(
        "how complete the logs since {} are is not known yet: what was received and lost since "
        "then has not been told so far, ingestion does so every few seconds",
        FormatTime(std::chrono::floor<std::chrono::seconds>(first)));
  }
  return "how complete the logs of that time are is not known: what was received and lost then has "
         "not been told (by a release that did not count, or what it told is lost or waits)";
}

StatusOr<nanoseconds> Around(std::string_view field, bool given,
                             const google::protobuf::Duration& duration, nanoseconds usual) {
  const nanoseconds value = given ? FromProto(duration) : usual;
  if (value < nanoseconds(0) || value > kMostAround) {
    return InvalidField(field, "must be 0 to 31 days");
  }
  return value;
}

StatusOr<TimeWindow> WindowOf(const v1::InvestigateEntityRequest& request, TimePoint now) {
  YAGURA_ASSIGN_OR_RETURN(const nanoseconds before,
                          Around("before", request.has_before(), request.before(), kUsualBefore));
  YAGURA_ASSIGN_OR_RETURN(const nanoseconds after,
                          Around("after", request.has_after(), request.after(), kUsualAfter));
  const TimePoint at = request.has_time() ? FromProto(request.time()) : now;
  if (before + after == nanoseconds(0)) return InvalidField("before", "the range is empty");
  return TimeWindow{at - before, at + after, TimeBasis::kEither};
}

}  // namespace

InvestigationHandlers::InvestigationHandlers(const QueryRunner& runner, const EventTable& table,
                                             const UnstoredEvents* unstored)
    : runner_(runner), table_(table), unstored_(unstored), events_(table), queries_(table) {}

v1::PendingEvents InvestigationHandlers::Pending(const rpc::Call& call,
                                                 const TimeWindow& window) const {
  return unstored_ == nullptr ? v1::PendingEvents() : unstored_->Of(call.scope(), window);
}

template <typename Response>
Status InvestigationHandlers::AddCoverage(const rpc::Call& call, TimeWindow window,
                                          v1::PendingEvents pending, Response* response) const {
  window.basis = TimeBasis::kReceived;
  YAGURA_ASSIGN_OR_RETURN(auto sources, CoverageOfSources(runner_, call, window, kMostSources));
  if (!sources.empty()) {
    YAGURA_ASSIGN_OR_RETURN(*response->mutable_coverage_summary(),
                            SummarizeCoverage(runner_, call, window));
    AddPending(std::move(pending), response->mutable_coverage_summary());
    for (auto& source : sources) *response->add_sources() = std::move(source);
    for (const std::string& gap : response->coverage_summary().gaps()) response->add_remarks(gap);
    return absl::OkStatus();
  }
  YAGURA_ASSIGN_OR_RETURN(eventstore::Query query,
                          events_.Coverage({call.scope(), window, {}}, kMostSources));
  YAGURA_ASSIGN_OR_RETURN(const eventstore::Table senders, runner_.Select(call, std::move(query)));
  for (const eventstore::Row& row : senders.rows) *response->add_coverage() = SourceOf(row);
  response->add_remarks(WhyUncounted(response->coverage(), runner_.clock().Now()));
  if (std::string text = PendingText(pending); !text.empty()) {
    response->add_remarks(std::move(text));
    AddPending(std::move(pending), response->mutable_coverage_summary());
  }
  return absl::OkStatus();
}

Status InvestigationHandlers::AddTimeline(const rpc::Call& call, const Selection& selection,
                                          size_t limit,
                                          v1::InvestigateEntityResponse* response) const {
  YAGURA_ASSIGN_OR_RETURN(eventstore::Query query, queries_.Timeline(selection, limit));
  YAGURA_ASSIGN_OR_RETURN(const eventstore::Table rows, runner_.Select(call, std::move(query)));
  uint64_t shown = 0;
  for (const eventstore::Row& row : rows.rows) {
    response->set_event_count(InvestigationQueries::EventsOf(row));
    *response->add_timeline() = InvestigationQueries::TimelineEntryOf(row);
    shown += response->timeline().rbegin()->event_count();
  }
  response->set_events_left_out(response->event_count() - shown);
  std::stable_sort(response->mutable_timeline()->begin(), response->mutable_timeline()->end(),
                   [](const v1::TimelineEntry& a, const v1::TimelineEntry& b) {
                     return FromProto(a.first_time()) < FromProto(b.first_time());
                   });
  if (response->events_left_out() > 0) {
    response->add_remarks(fmt::format("{} of {} events are in entries that are not shown",
                                      response->events_left_out(), response->event_count()));
  }
  return absl::OkStatus();
}

StatusOr<std::vector<v1::Peer>> InvestigationHandlers::PeersOf(const rpc::Call& call,
                                                               eventstore::Query query) const {
  YAGURA_ASSIGN_OR_RETURN(const eventstore::Table rows, runner_.Select(call, std::move(query)));
  std::vector<v1::Peer> peers;
  for (const eventstore::Row& row : rows.rows) peers.push_back(InvestigationQueries::PeerOf(row));
  return peers;
}

// What is new can be said only as far as flows are known.
Status InvestigationHandlers::AddFlowsKnown(const rpc::Call& call, const Selection& selection,
                                            std::vector<v1::Peer>* peers,
                                            v1::InvestigateEntityResponse* response) const {
  YAGURA_ASSIGN_OR_RETURN(
      const eventstore::Table rows,
      runner_.Select(call, InvestigationQueries::FlowsKnownSince(selection.tenants)));
  if (rows.rows.empty() || rows.rows[0].at(1).AsUnsigned() == 0) return absl::OkStatus();
  const TimePoint since = rows.rows[0].at(0).AsTime();
  *response->mutable_flows_known_since() = ToProto(since);
  if (since + kLookBack <= selection.window.start) return absl::OkStatus();
  if (since < selection.window.start) {
    response->add_remarks(fmt::format("flows are known since {} only: a new peer is one since then",
                                      FormatTime(since)));
    return absl::OkStatus();
  }
  for (v1::Peer& peer : *peers) peer.set_is_new(false);
  response->add_remarks(fmt::format(
      "flows are known since {} only: which peers are new cannot be said", FormatTime(since)));
  return absl::OkStatus();
}

Status InvestigationHandlers::AddPeers(const rpc::Call& call, const Selection& selection,
                                       const Subject& subject,
                                       v1::InvestigateEntityResponse* response) const {
  std::vector<v1::Peer> peers;
  if (subject.type == v1::INVESTIGATED_ADDRESS) {
    YAGURA_ASSIGN_OR_RETURN(peers, PeersOf(call, InvestigationQueries::PeersOfAddress(
                                                     selection.tenants, selection.window,
                                                     subject.address, kMostPeers + 1)));
    YAGURA_RETURN_IF_ERROR(AddFlowsKnown(call, selection, &peers, response));
    YAGURA_ASSIGN_OR_RETURN(
        eventstore::Query query,
        queries_.OtherPeersOfAddress(selection, subject.address, kMostPeers + 1));
    YAGURA_ASSIGN_OR_RETURN(auto others, PeersOf(call, std::move(query)));
    MergePeers(std::move(others), &peers);
  } else {
    YAGURA_ASSIGN_OR_RETURN(eventstore::Query query,
                            queries_.PeersOfEvents(selection, kMostPeers + 1));
    YAGURA_ASSIGN_OR_RETURN(peers, PeersOf(call, std::move(query)));
  }
  for (size_t i = 0; i < std::min(kMostPeers, peers.size()); ++i) {
    *response->add_peers() = std::move(peers[i]);
  }
  response->set_peers_truncated(peers.size() > kMostPeers);
  return absl::OkStatus();
}

StatusOr<bool> InvestigationHandlers::AddEventsKnown(
    const rpc::Call& call, const Selection& selection, TimePoint since,
    v1::InvestigateEntityResponse* response) const {
  // Who logs at all does so every hour: what begins later than that began later. Usually that hour
  // has something, and no more is looked at.
  const TimeWindow hour{selection.window.start, selection.window.start + hours(1)};
  YAGURA_ASSIGN_OR_RETURN(
      const eventstore::Table any,
      runner_.Select(call, InvestigationQueries::AnyEvent(selection.tenants, hour)));
  if (!any.rows.empty()) {
    *response->mutable_events_known_since() = ToProto(selection.window.start);
    return true;
  }
  YAGURA_ASSIGN_OR_RETURN(const eventstore::Table rows,
                          runner_.Select(call, InvestigationQueries::EventsKnownSince(
                                                   selection.tenants, selection.window)));
  if (rows.rows.empty()) return false;
  const TimePoint first = rows.rows[0].at(0).AsTime();
  *response->mutable_events_known_since() = ToProto(first);
  const std::string text = FormatTime(std::chrono::floor<std::chrono::seconds>(first));
  response->add_remarks(
      first < since
          ? fmt::format("logs reach back to {} only: what is new is so since then", text)
          : fmt::format("logs reach back to {} only: what is new in the range cannot be said",
                        text));
  return first < since;
}

Status InvestigationHandlers::AddFirstSeen(const rpc::Call& call, Selection selection,
                                           const Subject& subject,
                                           v1::InvestigateEntityResponse* response) const {
  const TimePoint since = selection.window.start;
  selection.window.start = since - kLookBack;
  YAGURA_ASSIGN_OR_RETURN(const bool may_be_new, AddEventsKnown(call, selection, since, response));
  YAGURA_ASSIGN_OR_RETURN(eventstore::Query query,
                          queries_.FirstSeen(selection, since, kMostFacts));
  YAGURA_ASSIGN_OR_RETURN(const eventstore::Table rows, runner_.Select(call, std::move(query)));
  for (const eventstore::Row& row : rows.rows) {
    v1::FirstSeen& fact = *response->add_first_seen();
    fact.set_kind(row.at(0).text);
    fact.set_value(ToValidUtf8(row.at(1).text));
    *fact.mutable_first_time() = ToProto(row.at(2).AsTime());
    *fact.mutable_last_time() = ToProto(row.at(3).AsTime());
    fact.set_event_count(row.at(4).AsUnsigned());
    fact.set_is_new(may_be_new && row.at(5).AsUnsigned() != 0);
    if (subject.Names(fact.value()) && (fact.kind() == "user" || fact.kind() == "host")) {
      response->add_names(fact.value());
    }
  }
  if (response->names_size() > 1) {
    response->add_remarks(fmt::format("taken for one: {}", Join(response->names(), ", ")));
  }
  return absl::OkStatus();
}

StatusOr<v1::InvestigateEntityResponse> InvestigationHandlers::InvestigateEntity(
    const rpc::Call& call, const v1::InvestigateEntityRequest& request) const {
  if (request.timeline_size() < 0) return InvalidField("timeline_size", "must not be negative");
  const int timeline = request.timeline_size() == 0
                           ? kUsualTimeline
                           : std::min(request.timeline_size(), kMostTimeline);
  YAGURA_ASSIGN_OR_RETURN(const Subject subject, ParseSubject(request.entity(), request.type()));
  const TimePoint now = runner_.clock().Now();
  YAGURA_ASSIGN_OR_RETURN(const TimeWindow window, WindowOf(request, now));
  YAGURA_ASSIGN_OR_RETURN(filter::Filter parsed,
                          filter::Filter::Parse(subject.filter, filter::EventSchema(), now));
  const Selection selection{call.scope(), window, std::move(parsed)};
  v1::PendingEvents pending = Pending(call, window);
  v1::InvestigateEntityResponse response;
  response.set_type(subject.type);
  response.set_filter(subject.filter);
  *response.mutable_range()->mutable_start_time() = ToProto(window.start);
  *response.mutable_range()->mutable_end_time() = ToProto(window.end);
  YAGURA_RETURN_IF_ERROR(AddTimeline(call, selection, static_cast<size_t>(timeline), &response));
  YAGURA_RETURN_IF_ERROR(AddPeers(call, selection, subject, &response));
  YAGURA_RETURN_IF_ERROR(AddFirstSeen(call, selection, subject, &response));
  // Of an hour that is still to come nobody can have sent.
  YAGURA_RETURN_IF_ERROR(
      AddCoverage(call, {window.start, std::max(window.start, std::min(window.end, now))},
                  std::move(pending), &response));
  return response;
}

StatusOr<v1::TraceEndpointResponse> InvestigationHandlers::TraceEndpoint(
    const rpc::Call& call, const v1::TraceEndpointRequest& request) const {
  YAGURA_ASSIGN_OR_RETURN(const Trace trace, Trace::Parse(request));
  TimeWindow around = trace.Around();
  around.basis = TimeBasis::kEither;
  v1::PendingEvents pending = Pending(call, around);
  YAGURA_ASSIGN_OR_RETURN(
      eventstore::Query query,
      trace.Candidates(call.scope(), table_, runner_.clock().Now(), kMostCandidates + 1));
  YAGURA_ASSIGN_OR_RETURN(const eventstore::Table rows, runner_.Select(call, std::move(query)));
  v1::TraceEndpointResponse response;
  for (size_t i = 0; i < std::min(kMostCandidates, rows.rows.size()); ++i) {
    *response.add_candidates() = Trace::CandidateOf(rows.rows[i]);
  }
  if (rows.rows.size() > kMostCandidates) {
    response.add_remarks(
        fmt::format("more than {} candidates; the nearest in time are told", kMostCandidates));
  }
  for (int i = 0; i < std::min(kTracedCandidates, response.candidates_size()); ++i) {
    v1::TraceCandidate& candidate = *response.mutable_candidates(i);
    if (candidate.inside_ip().empty()) continue;
    YAGURA_ASSIGN_OR_RETURN(const eventstore::Table terminals,
                            runner_.Select(call, trace.Terminals(candidate, kMostTerminals)));
    for (const eventstore::Row& row : terminals.rows) {
      *candidate.add_terminals() = Trace::TerminalOf(row);
    }
  }
  response.set_hours_in_range(HoursIn(trace.Around()));
  trace.Remark(&response);
  YAGURA_RETURN_IF_ERROR(AddCoverage(call, trace.Around(), std::move(pending), &response));
  return response;
}

}  // namespace yagura::archive
