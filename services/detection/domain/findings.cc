#include "services/detection/domain/findings.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/event/batch_codec.h"
#include "common/text/text.h"
#include "services/detection/domain/event_facts.h"
#include "services/detection/domain/hits.h"
#include "services/detection/domain/observation/matters.h"
#include "services/detection/domain/source_watch.h"

namespace yagura::detection {
namespace {

constexpr int64_t kHour = 3600LL * 1'000'000'000;
// Rule ids of findings about ourselves.
constexpr std::string_view kOverflowRule = "00000000-0000-4000-8000-000000000001";
constexpr std::string_view kDeadLetterRule = "00000000-0000-4000-8000-000000000002";

constexpr size_t kMaxSearch = 4'096;
constexpr std::string_view kOr = " OR ";

google::protobuf::Timestamp Time(int64_t nanos) {
  return ToProto(TimePoint(std::chrono::nanoseconds(nanos)));
}

bool HasEvidence(const v1::Finding& finding, const std::string& event_id) {
  return std::any_of(finding.evidence().begin(), finding.evidence().end(),
                     [&event_id](const auto& evidence) { return evidence.event_id() == event_id; });
}

// What both find, as far as there is room. Once more, it changes nothing.
void MergeSearch(const v1::EventSearch& update, v1::EventSearch& kept) {
  if (kept.filter().empty()) kept = update;
  if (update.truncated()) kept.set_truncated(true);
  if (kept.filter().find(update.filter()) == std::string::npos) {
    if (kept.filter().size() + update.filter().size() + kOr.size() <= kMaxSearch) {
      kept.mutable_filter()->append(kOr).append(update.filter());
    } else {
      kept.set_truncated(true);
    }
  }
  if (kept.basis() == archive::v1::TIME_BASIS_UNSPECIFIED) kept.set_basis(update.basis());
  if (FromProto(update.start_time()) < FromProto(kept.start_time())) {
    *kept.mutable_start_time() = update.start_time();
  }
  if (FromProto(update.end_time()) > FromProto(kept.end_time())) {
    *kept.mutable_end_time() = update.end_time();
  }
}

}  // namespace

std::string ShortDigest(const std::vector<std::string_view>& parts) {
  return event::BatchIdOf(parts);
}

std::string GroupKey(std::string_view tenant, const internal::v1::RuleSummary& rule,
                     const internal::v1::Hit& hit) {
  std::vector<std::string_view> parts = {tenant, rule.id(), rule.version()};
  for (const auto& field : hit.group()) {
    parts.push_back(field.name());
    parts.push_back(field.value());
  }
  return ShortDigest(parts);
}

v1::Finding DescribeFinding(std::string_view tenant, std::string_view finding_id,
                            const internal::v1::RuleSummary& rule, const internal::v1::Hit& hit) {
  v1::Finding finding;
  finding.set_name(fmt::format("tenants/{}/findings/{}", tenant, finding_id));
  finding.set_title(rule.title());
  finding.set_severity(rule.severity());
  finding.set_rule_id(rule.id());
  finding.set_rule_version(rule.version());
  finding.set_description(rule.description());
  finding.set_untold(rule.untold());
  *finding.mutable_tags() = rule.tags();
  *finding.mutable_false_positives() = rule.false_positives();
  finding.set_device(hit.device());
  finding.set_site(hit.site());
  finding.set_action(hit.action());
  for (const auto& entity : hit.entities()) AddEntity(entity, finding);
  if (hit.has_event()) *finding.mutable_event() = hit.event();
  *finding.mutable_matched_fields() =
      rule.threshold() > 1 || rule.type() != internal::v1::CORRELATION_TYPE_UNSPECIFIED
          ? hit.group()
          : hit.matched_fields();
  finding.set_dedup_key(GroupKey(tenant, rule, hit));
  return finding;
}

bool AddEntity(const v1::Entity& entity, v1::Finding& finding) {
  if (finding.entities_size() >= kMaxEntities) return false;
  for (const auto& known : finding.entities()) {
    if (known.type() == entity.type() && known.value() == entity.value()) return false;
  }
  *finding.add_entities() = entity;
  return true;
}

void AddEvidence(const google::protobuf::RepeatedPtrField<v1::Evidence>& evidence,
                 v1::Finding& finding) {
  for (const auto& one : evidence) {
    *finding.add_evidence() = one;
    finding.set_action(LaxerAction(finding.action(), one.action()));
    for (const auto& entity : one.entities()) AddEntity(entity, finding);
  }
}

bool MergeFinding(const v1::Finding& update, v1::Finding& kept) {
  bool changed = false;
  if (update.event_count() > kept.event_count()) {
    kept.set_event_count(update.event_count());
    changed = true;
  }
  if (FromProto(update.last_event_time()) > FromProto(kept.last_event_time())) {
    *kept.mutable_last_event_time() = update.last_event_time();
    changed = true;
  }
  if (FromProto(update.first_event_time()) < FromProto(kept.first_event_time())) {
    *kept.mutable_first_event_time() = update.first_event_time();
    changed = true;
  }
  // How it ended is known only then.
  if (changed && IsSourceFinding(update) && update.event_count() == kept.event_count()) {
    kept.set_description(update.description());
  }
  // What the latest hour says.
  if (changed && IsObservationFinding(update) && update.event_count() == kept.event_count()) {
    kept.set_description(update.description());
    *kept.mutable_matched_fields() = update.matched_fields();
    if (update.has_deviation()) *kept.mutable_deviation() = update.deviation();
    if (update.has_search()) MergeSearch(update.search(), *kept.mutable_search());
  }
  for (const auto& evidence : update.evidence()) {
    if (kept.evidence_size() >= kMaxEvidence) break;
    if (HasEvidence(kept, evidence.event_id())) continue;
    *kept.add_evidence() = evidence;
    changed = true;
  }
  for (const auto& entity : update.entities()) changed = AddEntity(entity, kept) || changed;
  const event::v1::Action action = LaxerAction(update.action(), kept.action());
  if (action != kept.action()) {
    kept.set_action(action);
    changed = true;
  }
  return changed;
}

v1::Finding OverflowFinding(std::string_view tenant, const internal::v1::RuleSummary& rule,
                            const internal::v1::Hit& hit, size_t cap) {
  const int64_t hour = hit.times(0) / kHour;
  v1::Finding finding;
  finding.set_name(fmt::format(
      "tenants/{}/findings/{}", tenant,
      ShortDigest({"overflow", tenant, rule.id(), rule.version(), fmt::format("{}", hour)})));
  finding.set_title("A rule has more groups than can be counted");
  finding.set_description(
      fmt::format("Rule \"{}\" ({}) has {} groups open; events of further groups are not counted "
                  "until some have ended. Its group-by fields may be too fine.",
                  rule.title(), rule.id(), cap));
  finding.set_severity(event::v1::MEDIUM);
  finding.set_rule_id(std::string(kOverflowRule));
  finding.set_rule_version(rule.version());
  finding.set_event_count(1);
  *finding.mutable_first_event_time() = Time(hit.times(0));
  *finding.mutable_last_event_time() = Time(hit.times(0));
  finding.set_dedup_key(ShortDigest({"overflow", tenant, rule.id()}));
  return finding;
}

bool IsOverflowFinding(const v1::Finding& finding) { return finding.rule_id() == kOverflowRule; }

v1::Finding DeadLetterFinding(const GivenUp& given_up) {
  v1::Finding finding;
  finding.set_name(fmt::format("tenants/{}/findings/{}", given_up.tenant,
                               ShortDigest({"dead-letter", given_up.tenant, given_up.topic,
                                            given_up.reader, fmt::format("{}", given_up.hour)})));
  finding.set_title(fmt::format("Yagura could not process {}", given_up.topic));
  finding.set_description(ToValidUtf8(fmt::format(
      "Entries of the stream \"{}\" failed again and again in \"{}\" and went to the dead letters, "
      "so that the rest could go on. The latest error: {}",
      given_up.topic, given_up.reader, given_up.error)));
  finding.set_severity(event::v1::MEDIUM);
  finding.set_rule_id(std::string(kDeadLetterRule));
  finding.set_event_count(given_up.count);
  *finding.mutable_first_event_time() = Time(given_up.first);
  *finding.mutable_last_event_time() = Time(given_up.last);
  finding.set_dedup_key(
      ShortDigest({"dead-letter", given_up.tenant, given_up.topic, given_up.reader}));
  return finding;
}

bool IsDeadLetterFinding(const v1::Finding& finding) {
  return finding.rule_id() == kDeadLetterRule;
}

}  // namespace yagura::detection
