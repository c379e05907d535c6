#include "services/detection/domain/window_outcome.h"

#include <string_view>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "services/detection/domain/findings.h"

namespace yagura::detection {
namespace {

using internal::v1::Group;
using internal::v1::Hit;
using internal::v1::RuleSummary;

constexpr int kMaxToldValues = 10;
constexpr int64_t kHour = 3600LL * 1'000'000'000;
// Rule id of findings about windows that were given up.
constexpr std::string_view kGivenUpRule = "00000000-0000-4000-8000-000000000006";

void AddField(v1::Finding& finding, const std::string& name, std::string value) {
  auto* field = finding.add_matched_fields();
  field->set_name(name);
  field->set_value(std::move(value));
}

}  // namespace

google::protobuf::Timestamp WindowTime(int64_t nanos) {
  return ToProto(TimePoint(std::chrono::nanoseconds(nanos)));
}

std::string BundleKey(const std::string& text_id, const std::string& version) {
  return text_id.empty() ? std::string() : text_id + "/" + version;
}

void AddMeasure(const RuleSummary& rule, const WindowVerdict& verdict, const Group& group,
                v1::Finding& finding) {
  if (rule.measure().empty()) return;
  AddField(finding, rule.measure(), fmt::format("{}", verdict.measure));
  int told = 0;
  for (const uint64_t key : verdict.keys) {
    const auto name = group.names().find(key);
    if (name == group.names().end()) continue;
    if (++told > kMaxToldValues) return;
    AddField(finding, "value", name->second);
  }
}

v1::Finding GivenUpFinding(const std::string& tenant, const std::string& rule,
                           const std::string& title, int64_t received) {
  const int64_t hour = received / kHour;
  v1::Finding finding;
  finding.set_name(fmt::format("tenants/{}/findings/{}", tenant,
                               ShortDigest({"given-up", tenant, rule, fmt::format("{}", hour)})));
  finding.set_title("A rule's windows take more memory than there is");
  finding.set_description(fmt::format(
      "Rule {} takes more than the others of what all open windows may take; those of its "
      "groups that would have ended first were given up, and what they had counted is "
      "not found. Its group-by fields may be too fine, its time span too long, or "
      "somebody sends very many events that it counts.",
      title.empty() ? rule : fmt::format("\"{}\" ({})", title, rule)));
  finding.set_severity(event::v1::MEDIUM);
  finding.set_rule_id(std::string(kGivenUpRule));
  *finding.mutable_first_event_time() = WindowTime(received);
  *finding.mutable_last_event_time() = WindowTime(received);
  finding.set_dedup_key(ShortDigest({"given-up", tenant, rule}));
  return finding;
}

bool IsAboutWindows(const v1::Finding& finding) {
  return finding.rule_id() == kGivenUpRule || IsOverflowFinding(finding);
}

void TellLastWords(Group& group, std::vector<Windows::Outcome>& outcomes) {
  for (auto& finding : *group.mutable_earlier()) TellLastWord(group.tenant(), finding, outcomes);
  TellLastWord(group.tenant(), group, outcomes);
}

void CopyFirst(const Hit& from, Hit& to) {
  if (from.has_first()) {
    *to.mutable_first() = from.first();
    return;
  }
  to.set_device(from.device());
  to.set_site(from.site());
  *to.mutable_event() = from.event();
}

PendingEvent EventOf(const Hit& hit, int at) {
  return {hit.times(at), at < hit.keys_size() ? hit.keys(at) : 0,
          at < hit.numbers_size() ? hit.numbers(at) : 0};
}

}  // namespace yagura::detection
