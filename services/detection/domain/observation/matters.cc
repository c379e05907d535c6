#include "services/detection/domain/observation/matters.h"

#include <algorithm>
#include <bit>
#include <chrono>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/event/event_view.h"
#include "common/text/printable.h"
#include "common/text/text.h"
#include "services/detection/domain/event_facts.h"
#include "services/detection/domain/findings.h"
#include "services/detection/domain/hits.h"
#include "services/detection/domain/observation/measures.h"

namespace yagura::detection {
namespace {

using internal::v1::OpenMatter;

// A matter that does not come again for so long is over; none lasts longer than a week.
constexpr int64_t kPauseHours = 24;
constexpr int64_t kLongestHours = 168;
constexpr size_t kMostText = 256;
constexpr int kMostMatched = 16;
constexpr int kMostMatters = 5'000;

TimePoint TimeOf(int64_t hour) { return TimePoint(std::chrono::hours(hour)); }

event::v1::Severity Step(event::v1::Severity severity, int by) {
  return static_cast<event::v1::Severity>(std::clamp(static_cast<int>(severity) + by,
                                                     static_cast<int>(event::v1::INFORMATIONAL),
                                                     static_cast<int>(event::v1::CRITICAL)));
}

// Fewer is worth a look at most; a surprise of twice the threshold is graver; what explains it
// makes it less so.
event::v1::Severity SeverityOf(const DeviationFacts& facts) {
  const MeasureFacts* measure = FactsOf(facts.measure);
  const bool is_more = facts.judged.surprise.verdict == HourVerdict::kMore;
  event::v1::Severity severity = is_more && measure != nullptr ? measure->more : event::v1::LOW;
  if (is_more && facts.judged.baseline &&
      facts.judged.surprise.z >= 2 * facts.judged.baseline->limits.threshold) {
    severity = Step(severity, 1);
  }
  return facts.causes.empty() ? severity : Step(severity, -1);
}

void AddEntities(const DeviationFacts& facts, v1::Finding& finding) {
  for (const auto& contributor : facts.contributors) {
    v1::Entity entity;
    const bool is_source = contributor.field() == "src.ip";
    if (is_source || contributor.field() == "dst.ip") {
      entity.set_type(v1::IP_ADDRESS);
      entity.set_role(is_source ? "source" : "target");
    } else if (contributor.field() == "user") {
      entity.set_type(v1::USER);
      entity.set_role("actor");
    } else {
      continue;
    }
    entity.set_value(contributor.value());
    AddEntity(entity, finding);
  }
}

v1::Deviation DescribeDeviation(const DeviationFacts& facts, const LocalHours& zone) {
  const JudgedHour& judged = facts.judged;
  v1::Deviation deviation;
  deviation.set_measure(facts.measure);
  deviation.set_direction(judged.surprise.verdict == HourVerdict::kMore ? v1::MORE : v1::FEWER);
  *deviation.mutable_hour() = ToProto(TimeOf(judged.hour));
  deviation.set_local_hour(zone.Text(judged.hour));
  deviation.set_time_zone(zone.zone());
  deviation.set_observed(judged.observed);
  if (judged.baseline) {
    deviation.set_expected(judged.baseline->expected);
    deviation.set_low(judged.baseline->low);
    deviation.set_high(judged.baseline->high);
    deviation.set_weeks(static_cast<int32_t>(judged.baseline->weeks));
    deviation.set_has_trend(judged.baseline->has_trend);
  }
  deviation.set_z(judged.surprise.z);
  deviation.set_ratio(judged.surprise.ratio);
  for (const auto& contributor : facts.contributors) *deviation.add_contributors() = contributor;
  for (const auto& cause : facts.causes) *deviation.add_causes() = cause;
  return deviation;
}

std::string DescribeWords(const DeviationFacts& facts, const v1::Deviation& deviation,
                          std::string_view noun) {
  const auto amount = [&facts](double value) { return AmountText(facts.measure, value); };
  std::string words = fmt::format(
      "{} {} in the hour from {} ({}); usual at that hour of the week are {}, and anything between "
      "{} and {} ({} of {} weeks). The surprise: {:.1f} robust standard deviations",
      amount(deviation.observed()), noun, deviation.local_hour(), deviation.time_zone(),
      amount(deviation.expected()), amount(deviation.low()), amount(deviation.high()),
      deviation.has_trend() ? "the trend" : "the median", deviation.weeks(), deviation.z());
  if (deviation.ratio() > 0) words += fmt::format(", {:.2g} times the usual", deviation.ratio());
  words += ".";
  std::string field;
  for (const auto& contributor : deviation.contributors()) {
    words +=
        contributor.field() == field ? ", " : fmt::format(" Most by {}: ", contributor.field());
    field = contributor.field();
    words += fmt::format("{} ({})", Printable(contributor.value(), kMostText),
                         AmountText(facts.measure, static_cast<double>(contributor.amount())));
  }
  if (!deviation.contributors().empty()) words += ".";
  for (const auto& cause : deviation.causes()) {
    words += fmt::format(" Known: {}.", Printable(cause.text(), kMostText));
  }
  return words;
}

}  // namespace

bool IsObservationFinding(const v1::Finding& finding) {
  return finding.rule_id() == kDeviationRule || finding.rule_id() == kNewDestinationRule ||
         finding.rule_id() == kBeaconRule;
}

std::string MatterKey(const std::vector<std::string_view>& parts) {
  std::string key;
  for (const std::string_view part : parts) key += fmt::format("{}:{}\n", part.size(), part);
  return key;
}

const OpenMatter& Matters::Join(std::string_view tenant, std::string_view rule,
                                const std::string& key, int64_t hour) {
  auto& open = *state_.mutable_open();
  for (OpenMatter& matter : open) {
    if (matter.key() != key || hour - matter.last() > kPauseHours ||
        hour - matter.since() >= kLongestHours) {
      continue;
    }
    if (hour > matter.last()) {
      matter.set_last(hour);
      matter.set_count(matter.count() + 1);
    }
    return matter;
  }
  OpenMatter& matter = *open.Add();
  matter.set_key(key);
  matter.set_since(hour);
  matter.set_last(hour);
  matter.set_count(1);
  matter.set_finding(ShortDigest({"observation", tenant, rule, key, fmt::format("{}", hour)}));
  return matter;
}

void Matters::Close(int64_t hour) {
  auto& open = *state_.mutable_open();
  open.erase(std::remove_if(
                 open.begin(), open.end(),
                 [hour](const OpenMatter& matter) { return hour - matter.last() >= kPauseHours; }),
             open.end());
  // A tenant has not so many; where it has, the oldest are told anew when they come again.
  if (open.size() > kMostMatters) open.DeleteSubrange(0, open.size() - kMostMatters);
  state_.set_last_hour(hour);
}

v1::Evidence EventEvidence(const event::v1::Event& event) {
  v1::Evidence evidence;
  evidence.set_event_id(event.id());
  *evidence.mutable_event_time() = event.event_time();
  *evidence.mutable_receive_time() = event.receive_time();
  evidence.set_raw(event.raw().substr(0, kMaxEvidenceRaw));
  evidence.set_signature(ToValidUtf8(event.signature().substr(0, kMaxEntityValue)));
  evidence.set_action(event.action());
  const auto name = [&evidence](v1::EntityType type, std::string value, const char* role) {
    if (value.empty()) return;
    auto* entity = evidence.add_entities();
    entity->set_type(type);
    entity->set_value(ToValidUtf8(std::string_view(value).substr(0, kMostText)));
    entity->set_role(role);
  };
  const auto address = [](const std::string& bytes) {
    return bytes.empty() ? std::string() : event::IpAddress::FromBytes(bytes).ToString();
  };
  name(v1::IP_ADDRESS, address(event.src().ip()), "source");
  name(v1::IP_ADDRESS, address(event.dst().ip()), "target");
  name(v1::USER, event.user(), "actor");
  name(v1::HOST, event.host(), "host");
  return evidence;
}

void SetSearch(std::string_view filter, archive::v1::TimeBasis basis, int64_t first, int64_t last,
               v1::Finding& finding) {
  v1::EventSearch& search = *finding.mutable_search();
  search.set_filter(fmt::format("({})", filter));  // others may be joined to it
  *search.mutable_start_time() = ToProto(TimeOf(first));
  *search.mutable_end_time() = ToProto(TimeOf(last + 1));
  search.set_basis(basis);
}

void AddMatched(std::string_view name, std::string_view value, v1::Finding& finding) {
  if (finding.matched_fields_size() >= kMostMatched) return;
  auto* field = finding.add_matched_fields();
  field->set_name(std::string(name));
  field->set_value(std::string(value));
}

Windows::Outcome MatterOutcome(std::string_view tenant, std::string_view rule,
                               const OpenMatter& matter) {
  Windows::Outcome outcome;
  v1::Finding& finding = outcome.finding;
  finding.set_name(fmt::format("tenants/{}/findings/{}", tenant, matter.finding()));
  finding.set_rule_id(std::string(rule));
  finding.set_event_count(matter.count());
  *finding.mutable_first_event_time() = ToProto(TimeOf(matter.since()));
  *finding.mutable_last_event_time() = ToProto(TimeOf(matter.last() + 1));
  finding.set_dedup_key(ShortDigest({"observation", tenant, rule, matter.key()}));
  outcome.began = matter.count() == 1;
  outcome.tells = std::has_single_bit(matter.count());
  return outcome;
}

std::string EventsFilter(const DeviationFacts& facts, bool of_contributor) {
  const MeasureFacts* measure = FactsOf(facts.measure);
  std::string filter =
      fmt::format("({}) AND device = {} AND site = {}", measure == nullptr ? "" : measure->filter,
                  FilterValue(facts.device.device), FilterValue(facts.device.site));
  if (of_contributor && !facts.contributors.empty()) {
    const v1::Contributor& most = facts.contributors.front();
    filter += fmt::format(" AND {} = {}", most.field(), FilterValue(most.value()));
  }
  return filter;
}

std::string DeviationKey(const DeviationFacts& facts) {
  return MatterKey({facts.device.site, facts.device.device, v1::Measure_Name(facts.measure),
                    facts.judged.surprise.verdict == HourVerdict::kMore ? "more" : "fewer"});
}

Windows::Outcome DeviationOutcome(const DeviationFacts& facts, const LocalHours& zone,
                                  const OpenMatter& matter) {
  const MeasureFacts* measure = FactsOf(facts.measure);
  const std::string_view noun = measure == nullptr ? "events" : measure->noun;
  Windows::Outcome outcome = MatterOutcome(facts.tenant, kDeviationRule, matter);
  v1::Finding& finding = outcome.finding;
  const bool is_more = facts.judged.surprise.verdict == HourVerdict::kMore;
  finding.set_title(fmt::format("Far {} {} than usual", is_more ? "more" : "fewer", noun));
  finding.set_severity(SeverityOf(facts));
  finding.set_site(facts.device.site);
  finding.set_device(facts.device.device);
  *finding.mutable_deviation() = DescribeDeviation(facts, zone);
  finding.set_description(DescribeWords(facts, finding.deviation(), noun));
  AddMatched("measure", v1::Measure_Name(facts.measure), finding);
  AddMatched("observed", AmountText(facts.measure, facts.judged.observed), finding);
  AddMatched("usual", AmountText(facts.measure, finding.deviation().expected()), finding);
  AddMatched("surprise", fmt::format("{:.1f}", facts.judged.surprise.z), finding);
  AddEntities(facts, finding);
  SetSearch(EventsFilter(facts, false), archive::v1::HAPPENED, facts.judged.hour, facts.judged.hour,
            finding);
  AddEvidence({facts.events.begin(), facts.events.end()}, finding);
  return outcome;
}

}  // namespace yagura::detection
