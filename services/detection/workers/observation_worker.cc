#include "services/detection/workers/observation_worker.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/event/event_view.h"
#include "common/redis/pool.h"
#include "common/status/status.h"
#include "services/detection/domain/rule_resource.h"

namespace yagura::detection {
namespace {

constexpr char kQueue[] = "observation";
constexpr std::string_view kQuarantine = "quarantine";
constexpr char kFallbackZone[] = "UTC";
// What was applied to a device, or told by it, within this before the end of an hour may explain
// it.
constexpr std::chrono::hours kCauseWindow{25};
constexpr int kOutageHours = 3;
constexpr std::chrono::minutes kLookWhetherSettled{1};
// Findings of one hour of one tenant; a tenant where more devices differ has one cause, not many.
constexpr size_t kMostDeviations = 50;
// New destinations.
constexpr int kMostFlows = 5'000;
constexpr size_t kMostPairs = 200;
constexpr size_t kPairsAQuestion = 20;
constexpr size_t kMostNetworks = 50;
constexpr int kMoreDays = 7;
constexpr char kServers[] = "servers";
constexpr char kAgreed[] = "server-destinations";
constexpr char kSteady[] = "steady-destinations";
// Beacons are looked for in these hours of the day (UTC), each time over a day.
constexpr int64_t kBeaconEvery = 6;
constexpr std::chrono::hours kBeaconRange{24};
constexpr int kMostBeacons = 1'000;
// Names, time and encrypted names are asked for all day by everything.
constexpr char kBeaconEvents[] = "NOT dst.port = (53 OR 123 OR 853)";

TimePoint TimeOf(int64_t hour) { return TimePoint(std::chrono::hours(hour)); }

std::string AddressText(std::string_view bytes) {
  return event::IpAddress::FromBytes(bytes).ToString();
}

// The hours before and the hour itself: what was amiss with the logs.
void AddOutages(const ObservedHours& hours, const DeviceKey& device, int64_t hour,
                const LocalHours& zone, std::vector<v1::KnownCause>* causes) {
  for (int64_t at = hour - kOutageHours; at <= hour; ++at) {
    for (const auto& flaw : hours.FlawsAt(device, at)) {
      auto& cause = causes->emplace_back();
      cause.set_kind(flaw.clock ? v1::KnownCause::CLOCK_ERROR : v1::KnownCause::LOG_OUTAGE);
      *cause.mutable_time() = ToProto(TimeOf(at));
      cause.set_text(fmt::format("in the hour from {} {}", zone.Text(at), flaw.text));
    }
  }
}

archive::v1::ListFlowsRequest FlowsRequest(const std::string& tenant, std::string filter,
                                           TimePoint start, TimePoint end) {
  archive::v1::ListFlowsRequest request;
  request.set_parent("tenants/" + tenant);
  request.set_filter(std::move(filter));
  *request.mutable_range()->mutable_start_time() = ToProto(start);
  *request.mutable_range()->mutable_end_time() = ToProto(end);
  request.set_page_size(kMostFlows);
  return request;
}

struct Pair {
  std::string site;
  std::string server;
  std::string destination;
  auto operator<=>(const Pair&) const = default;
};
Pair PairOf(const archive::v1::Flow& flow) { return {flow.site(), flow.src_ip(), flow.dst_ip()}; }

}  // namespace

struct ObservationWorker::Turn {
  std::string tenant;
  int64_t hour;
  const v1::ObservationPolicy& policy;
  Matters& matters;
  std::vector<Windows::Outcome> outcomes = {};
};

absl::StatusOr<v1::ObservationPolicy> PolicyOf(const store::Store<v1::ObservationPolicy>& policies,
                                               const std::string& tenant) {
  const auto name = [](std::string_view of) {
    return fmt::format("tenants/{}/observationPolicies/default", of);
  };
  auto own = policies.Get(name(tenant));
  if (own.status().code() != absl::StatusCode::kNotFound) return own;
  auto common = policies.Get(name(kProviderTenant));
  if (!common.ok() && common.status().code() != absl::StatusCode::kNotFound) return common;
  v1::ObservationPolicy policy = common.ok() ? *std::move(common) : v1::ObservationPolicy();
  policy.set_name(name(tenant));
  policy.clear_etag();
  return policy;
}

ObservationWorker::ObservationWorker(Parts parts, Options options)
    : parts_(std::move(parts)),
      options_(std::move(options)),
      store_(parts_.state),
      queue_(parts_.state, kQueue),
      timers_(
          parts_.state, kQueue, {.instance = options_.instance}, parts_.clock,
          [this](const timer::Timer& timer) { return Handle(timer); }, parts_.logger) {}

ObservationWorker::~ObservationWorker() { Stop(); }

void ObservationWorker::Start() {
  TellThatItRuns();
  timers_.Start();
  thread_ = std::thread([this] { Work(); });
}

void ObservationWorker::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  timers_.Stop();
}

// Each tenant has a timer; one that is new gets one.
void ObservationWorker::LookForTenants() {
  const auto tenants = store::ListTenants(*parts_.state);
  if (!tenants.ok()) return;
  for (const std::string& tenant : *tenants) {
    if (tenant == kQuarantine) continue;
    const auto timer = queue_.Find(tenant);
    if (!timer.ok()) return;
    if (!timer->has_value()) (void)queue_.Schedule(tenant, parts_.clock->Now(), "");
  }
}

void ObservationWorker::Work() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    TellThatItRuns();
    LookForTenants();
    lock.lock();
    wake_.wait_for(lock, options_.look_for_tenants, [this] { return stopping_; });
  }
}

int64_t ObservationWorker::LastOver() const {
  const TimePoint now = parts_.clock->Now() - options_.lateness;
  return std::chrono::floor<std::chrono::hours>(now).time_since_epoch().count() - 1;
}

// Until it can be said there may have been a time in which nobody ran.
void ObservationWorker::TellThatItRuns() {
  const TimePoint now = parts_.clock->Now();
  const auto settled = store_.Run(now, options_.gone, options_.settle);
  const std::lock_guard lock(mutex_);
  settled_ = settled.ok() ? *settled : now + options_.settle;
}

void ObservationWorker::Settle(const std::string& tenant) const {
  const absl::Status kept = store_.Settle(tenant, parts_.clock->Now() + options_.settle);
  if (kept.ok()) return;
  parts_.logger.Warning("that hours of a tenant should wait cannot be kept",
                        {{"tenant", tenant}, {"reason", Message(kept)}});
}

absl::StatusOr<bool> ObservationWorker::IsSettled(const std::string& tenant) {
  YAGURA_ASSIGN_OR_RETURN(const TimePoint own, store_.SettledAt(tenant));
  const TimePoint now = parts_.clock->Now();
  // A clock that was wrong by then makes nobody wait for longer; one that is ahead of this one a
  // little is not wrong.
  const TimePoint latest = now + 2 * options_.settle;
  const std::lock_guard lock(mutex_);
  return (now >= own || own > latest) && (now >= settled_ || settled_ > latest);
}

absl::Status ObservationWorker::Handle(const timer::Timer& timer) {
  // As of before: what became due or settled meanwhile is looked at at once.
  const TimePoint now = parts_.clock->Now();
  const TimePoint due = TimeOf(LastOver() + 2) + options_.lateness;
  const auto judged = JudgeWhatIsNext(timer.id);
  if (!judged.ok()) {
    // The tenant is gone.
    if (judged.status().code() == absl::StatusCode::kNotFound) return absl::OkStatus();
    if (judged.status().code() == absl::StatusCode::kUnavailable) Settle(timer.id);
    parts_.logger.Warning("an hour of a tenant cannot be judged yet",
                          {{"tenant", timer.id}, {"reason", Message(judged.status())}});
    return judged.status();
  }
  TimePoint next = *judged == Next::kJudged ? now : due;
  if (*judged == Next::kWaits) next = std::min(next, now + kLookWhetherSettled);
  return queue_.Schedule(timer.id, next, "");
}

absl::StatusOr<bool> ObservationWorker::JudgeNext(const std::string& tenant) {
  YAGURA_ASSIGN_OR_RETURN(const Next next, JudgeWhatIsNext(tenant));
  return next == Next::kJudged;
}

absl::StatusOr<ObservationWorker::Next> ObservationWorker::JudgeWhatIsNext(
    const std::string& tenant) {
  YAGURA_ASSIGN_OR_RETURN(auto state, store_.Load(tenant));
  const int64_t before = state.last_hour();
  const int64_t over = LastOver();
  if (before >= over) return Next::kNothingDue;
  if (before != 0) {
    YAGURA_ASSIGN_OR_RETURN(const bool is_settled, IsSettled(tenant));
    if (!is_settled) return Next::kWaits;
  }
  // A tenant that is new begins with the hour that is just over.
  int64_t hour = before == 0 ? over : before + 1;
  if (hour < over - options_.catch_up.count()) {
    parts_.logger.Warning("hours of a tenant are passed over, as they were not judged for long",
                          {{"tenant", tenant}, {"hours", over - options_.catch_up.count() - hour}});
    hour = over - options_.catch_up.count();
  }
  YAGURA_ASSIGN_OR_RETURN(auto policy, PolicyOf(parts_.policies, tenant));
  policy = EffectivePolicy(std::move(policy));
  Matters matters(std::move(state));
  if (!policy.disabled()) YAGURA_RETURN_IF_ERROR(Judge(tenant, hour, policy, matters));
  matters.Close(hour);
  const absl::Status saved = store_.Save(tenant, before, matters.state());
  // Another process was first, and told the same.
  if (saved.code() == absl::StatusCode::kAborted) return Next::kJudged;
  YAGURA_RETURN_IF_ERROR(saved);
  return Next::kJudged;
}

absl::Status ObservationWorker::Judge(const std::string& tenant, int64_t hour,
                                      const v1::ObservationPolicy& policy, Matters& matters) {
  Turn turn{tenant, hour, policy, matters};
  YAGURA_RETURN_IF_ERROR(JudgeMeasures(turn));
  for (const auto step :
       {&ObservationWorker::FindNewDestinations, &ObservationWorker::FindBeaconsOf}) {
    YAGURA_RETURN_IF_ERROR(GoOnWithout(tenant, (this->*step)(turn)));
  }
  return parts_.sink->Put(turn.outcomes);
}

// A question that is too large for the store, say, must not keep the hours from going on.
absl::Status ObservationWorker::GoOnWithout(const std::string& tenant,
                                            const absl::Status& status) const {
  if (status.ok() || status.code() == absl::StatusCode::kUnavailable) return status;
  parts_.logger.Warning("an hour is judged without all that might be known of it",
                        {{"tenant", tenant}, {"reason", Message(status)}});
  return absl::OkStatus();
}

absl::Status ObservationWorker::JudgeMeasures(Turn& turn) {
  YAGURA_ASSIGN_OR_RETURN(const auto zones, parts_.data->ZonesOf(turn.tenant));
  ObservedHours hours;
  YAGURA_RETURN_IF_ERROR(
      parts_.data->ReadHours(turn.tenant, HoursFor(turn.hour, turn.policy), "", &hours));
  std::map<std::string, LocalHours> by_name;
  const auto zone_of = [&](const std::string& site) -> const LocalHours& {
    const auto own = zones.sites.find(site);
    const std::string& name = own == zones.sites.end() ? zones.tenant : own->second;
    auto found = by_name.find(name);
    if (found != by_name.end()) return found->second;
    auto made = LocalHours::Make(name);
    if (!made.ok()) made = LocalHours::Make(kFallbackZone);
    return by_name.emplace(name, *std::move(made)).first->second;
  };
  const auto& excluded = turn.policy.excluded_devices();
  std::vector<DeviationFacts> found;
  for (const DeviceKey& device : hours.devices()) {
    if (std::find(excluded.begin(), excluded.end(), device.device) != excluded.end()) continue;
    for (const int measure : turn.policy.measures()) {
      DeviationFacts facts{turn.tenant, device, static_cast<v1::Measure>(measure), {}, {}, {}};
      facts.judged =
          JudgeHour(hours, device, facts.measure, turn.hour, zone_of(device.site), turn.policy);
      if (facts.judged.state == v1::ObservationPoint::FAR_MORE ||
          facts.judged.state == v1::ObservationPoint::FAR_FEWER) {
        found.push_back(std::move(facts));
      }
    }
  }
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return std::abs(a.judged.surprise.z) > std::abs(b.judged.surprise.z);
  });
  if (found.size() > kMostDeviations) {
    parts_.logger.Warning("more devices differ from the usual than are told of",
                          {{"tenant", turn.tenant}, {"deviations", found.size()}});
    found.resize(kMostDeviations);
  }
  const TimePoint end = TimeOf(turn.hour + 1);
  std::map<std::string, std::vector<v1::KnownCause>> causes;  // by device
  for (DeviationFacts& facts : found) {
    const auto [known, is_new] = causes.try_emplace(facts.device.device);
    if (is_new) {
      auto asked = parts_.data->Causes(turn.tenant, facts.device.device, end - kCauseWindow, end);
      YAGURA_RETURN_IF_ERROR(GoOnWithout(turn.tenant, asked.status()));
      if (asked.ok()) known->second = *std::move(asked);
    }
    facts.causes = known->second;
    const LocalHours& zone = zone_of(facts.device.site);
    AddOutages(hours, facts.device, turn.hour, zone, &facts.causes);
    auto contributors =
        parts_.data->Contributors(turn.tenant, facts.device, *FactsOf(facts.measure), turn.hour);
    YAGURA_RETURN_IF_ERROR(GoOnWithout(turn.tenant, contributors.status()));
    if (contributors.ok()) facts.contributors = *std::move(contributors);
    YAGURA_RETURN_IF_ERROR(FindEvents(turn, facts));
    const auto& matter =
        turn.matters.Join(turn.tenant, kDeviationRule, DeviationKey(facts), turn.hour);
    turn.outcomes.push_back(DeviationOutcome(facts, zone, matter));
  }
  return absl::OkStatus();
}

// Some of the events that were too many: of who brought most of them about.
absl::Status ObservationWorker::FindEvents(const Turn& turn, DeviationFacts& facts) const {
  if (facts.judged.surprise.verdict != HourVerdict::kMore) return absl::OkStatus();
  for (const bool of_contributor : {true, false}) {
    if (!facts.events.empty() || (of_contributor && facts.contributors.empty())) continue;
    YAGURA_ASSIGN_OR_RETURN(facts.events, EventsOf(turn, EventsFilter(facts, of_contributor),
                                                   archive::v1::HAPPENED, std::chrono::hours(1)));
  }
  return absl::OkStatus();
}

// Within `span` before the end of the hour. None where they cannot be had.
absl::StatusOr<std::vector<v1::Evidence>> ObservationWorker::EventsOf(
    const Turn& turn, const std::string& filter, archive::v1::TimeBasis basis,
    std::chrono::hours span) const {
  const TimePoint end = TimeOf(turn.hour + 1);
  auto events = parts_.data->EventsOf(
      turn.tenant, {.filter = filter, .basis = basis, .start = end - span, .end = end});
  YAGURA_RETURN_IF_ERROR(GoOnWithout(turn.tenant, events.status()));
  if (!events.ok()) return std::vector<v1::Evidence>();
  return events;
}

absl::StatusOr<AddressSet> ObservationWorker::AddressesOf(const std::string& tenant,
                                                          const char* placeholder) const {
  for (const std::string_view of : {std::string_view(tenant), kProviderTenant}) {
    const auto found =
        parts_.placeholders.Get(fmt::format("tenants/{}/placeholders/{}", of, placeholder));
    if (found.status().code() == absl::StatusCode::kNotFound) continue;
    if (!found.ok()) return found.status();
    return AddressSet({found->values().begin(), found->values().end()});
  }
  return AddressSet();
}

absl::Status ObservationWorker::FindNewDestinations(Turn& turn) {
  if (turn.policy.new_destinations_disabled()) return absl::OkStatus();
  YAGURA_ASSIGN_OR_RETURN(const AddressSet servers, AddressesOf(turn.tenant, kServers));
  if (servers.empty()) return absl::OkStatus();
  YAGURA_ASSIGN_OR_RETURN(const AddressSet agreed, AddressesOf(turn.tenant, kAgreed));
  const int days = turn.policy.new_destination_days();
  const TimePoint start = TimeOf(turn.hour);
  const TimePoint end = TimeOf(turn.hour + 1);
  const TimePoint from = start - std::chrono::days(days + kMoreDays);
  const auto one_of = [](const char* field, const std::vector<std::string>& values) {
    std::string text;
    for (const auto& value : values) {
      text += fmt::format("{}{} = {}", text.empty() ? "" : " OR ", field, value);
    }
    return "(" + text + ")";
  };
  // Flows that were not there before this hour; of a known destination those of another port.
  std::string filter =
      fmt::format("verdict = ALLOWED AND first_time >= \"{}\" AND first_time < \"{}\"",
                  FormatTime(start), FormatTime(end));
  if (servers.texts().size() <= kMostNetworks) {
    filter += " AND " + one_of("src_ip", servers.texts());
  }
  YAGURA_ASSIGN_OR_RETURN(
      const auto first_seen,
      parts_.data->Flows(turn.tenant, FlowsRequest(turn.tenant, filter, from, end)));
  const auto candidates = MayBeNew(first_seen, servers, agreed);
  std::set<Pair> pairs;
  for (const auto& flow : candidates) {
    if (pairs.size() < kMostPairs) pairs.insert(PairOf(flow));
  }
  if (pairs.empty()) return absl::OkStatus();
  // Since when each server is known, and which destinations it knows by another port.
  std::set<Pair> known;
  std::map<std::pair<std::string, std::string>, int64_t> known_since;
  for (auto at = pairs.begin(); at != pairs.end();) {
    std::set<std::string> some_servers;
    std::string both;
    for (size_t i = 0; i < kPairsAQuestion && at != pairs.end(); ++i, ++at) {
      some_servers.insert(AddressText(at->server));
      both += fmt::format("{}(src_ip = {} AND dst_ip = {})", both.empty() ? "" : " OR ",
                          AddressText(at->server), AddressText(at->destination));
    }
    auto before = FlowsRequest(
        turn.tenant,
        fmt::format("verdict = ALLOWED AND first_time < \"{}\" AND ({})", FormatTime(start), both),
        from, end);
    YAGURA_ASSIGN_OR_RETURN(const auto flows, parts_.data->Flows(turn.tenant, before));
    for (const auto& flow : flows) known.insert(PairOf(flow));
    auto since = FlowsRequest(
        turn.tenant, one_of("src_ip", {some_servers.begin(), some_servers.end()}), from, end);
    since.add_group_by("site");
    since.add_group_by("src_ip");
    since.set_order_by("first_time");
    YAGURA_ASSIGN_OR_RETURN(const auto firsts, parts_.data->Flows(turn.tenant, since));
    for (const auto& flow : firsts) {
      known_since[{flow.site(), flow.src_ip()}] = flow.first_time().seconds();
    }
  }
  std::map<std::pair<std::string, std::string>, NewDestinations> by_server;
  for (const auto& flow : candidates) {
    if (!pairs.contains(PairOf(flow)) || known.contains(PairOf(flow))) continue;
    const auto since = known_since.find({flow.site(), flow.src_ip()});
    if (since == known_since.end() ||
        TimePoint(std::chrono::seconds(since->second)) > start - std::chrono::days(days)) {
      continue;  // nobody can say yet what is new
    }
    auto& facts = by_server[since->first];
    facts.tenant = turn.tenant;
    facts.site = flow.site();
    facts.server = flow.src_ip();
    facts.known_since = since->second;
    facts.days = days;
    facts.flows.push_back(flow);
  }
  for (auto& [server, facts] : by_server) {
    YAGURA_ASSIGN_OR_RETURN(facts.events, EventsOf(turn, EventsFilter(facts), archive::v1::RECEIVED,
                                                   std::chrono::hours(1)));
    const auto& matter =
        turn.matters.Join(turn.tenant, kNewDestinationRule, NewDestinationKey(facts), turn.hour);
    turn.outcomes.push_back(NewDestinationOutcome(facts, matter));
  }
  return absl::OkStatus();
}

absl::Status ObservationWorker::FindBeaconsOf(Turn& turn) {
  if (turn.policy.beacons_disabled() || (turn.hour + 1) % kBeaconEvery != 0) {
    return absl::OkStatus();
  }
  YAGURA_ASSIGN_OR_RETURN(const AddressSet agreed, AddressesOf(turn.tenant, kAgreed));
  YAGURA_ASSIGN_OR_RETURN(const AddressSet steady, AddressesOf(turn.tenant, kSteady));
  std::vector<std::string> all = agreed.texts();
  all.insert(all.end(), steady.texts().begin(), steady.texts().end());
  archive::v1::ListPeriodicFlowsRequest request;
  request.set_parent("tenants/" + turn.tenant);
  request.set_filter(kBeaconEvents);
  request.set_page_size(kMostBeacons);
  const BeaconLimits limits;
  request.set_min_calls(static_cast<int32_t>(limits.calls));
  request.set_max_jitter(limits.jitter);
  const TimePoint end = TimeOf(turn.hour + 1);
  *request.mutable_range()->mutable_start_time() = ToProto(end - kBeaconRange);
  *request.mutable_range()->mutable_end_time() = ToProto(end);
  YAGURA_ASSIGN_OR_RETURN(const auto flows, parts_.data->PeriodicFlows(turn.tenant, request));
  for (Beacons& beacons : FindBeacons(turn.tenant, flows, AddressSet(all), limits)) {
    YAGURA_ASSIGN_OR_RETURN(
        beacons.events, EventsOf(turn, EventsFilter(beacons), archive::v1::RECEIVED, kBeaconRange));
    const auto& matter = turn.matters.Join(turn.tenant, kBeaconRule, BeaconKey(beacons), turn.hour);
    turn.outcomes.push_back(BeaconOutcome(beacons, matter));
  }
  return absl::OkStatus();
}

}  // namespace yagura::detection
