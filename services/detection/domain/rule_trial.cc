#include "services/detection/domain/rule_trial.h"

#include <map>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "services/detection/domain/findings.h"
#include "services/detection/domain/hits.h"
#include "services/detection/domain/windows.h"

namespace yagura::detection {
namespace {

constexpr std::chrono::minutes kFold{10};

event::v1::Event Completed(const event::v1::Event& given, TimePoint now) {
  event::v1::Event event = given;
  if (!event.has_receive_time()) *event.mutable_receive_time() = ToProto(now);
  if (!event.has_event_time()) *event.mutable_event_time() = event.receive_time();
  return event;
}

}  // namespace

absl::StatusOr<v1::TestRuleResponse> TryRule(
    std::string_view tenant, ParsedRule rule,
    const google::protobuf::RepeatedPtrField<event::v1::Event>& events, TimePoint now) {
  // An empty conjunction is true: samples need not say what product they are of.
  for (auto& single : rule.rules) single.logsource_test = Expression();
  BatchMatcher matcher(RuleSet::Build({{"", std::make_shared<const ParsedRule>(std::move(rule))}}));
  Windows windows({.offline = true});
  const auto one_shard = [](std::string_view) { return 0; };
  v1::TestRuleResponse response;
  std::map<std::string, v1::Finding> findings;
  const auto note = [&findings](const std::vector<Windows::Outcome>& outcomes) {
    for (const auto& outcome : outcomes) {
      if (outcome.closing) continue;
      auto [found, is_new] = findings.try_emplace(outcome.finding.name(), outcome.finding);
      if (!is_new) MergeFinding(outcome.finding, found->second);
    }
  };
  int first = 0;
  for (uint64_t batch_number = 1; first < events.size(); ++batch_number) {
    event::BatchBuilder builder({std::string(tenant), fmt::format("test{}", batch_number), now});
    int next = first;
    while (next < events.size() && !builder.full()) builder.Add(Completed(events[next++], now));
    YAGURA_ASSIGN_OR_RETURN(auto batch, event::BatchReader::Open(builder.Finish()));
    YAGURA_ASSIGN_OR_RETURN(const auto matches, matcher.Run(batch));
    for (const Match& match : matches) {
      auto* answer = response.add_matches();
      answer->set_event_index(first + static_cast<int>(match.row));
      const auto& target = matcher.rules().targets()[match.target];
      answer->set_rule_id(matcher.rules().rule(target).rules[target.rule].info.id);
    }
    const HitSource source{0, fmt::format("1-{}", batch_number), 1};
    YAGURA_ASSIGN_OR_RETURN(const auto hits,
                            MakeHits(matcher, batch, matches, source, one_shard, kFold));
    for (const auto& [shard, hit_batch] : hits) note(windows.Apply(hit_batch));
    first = next;
  }
  note(windows.Finish());
  for (auto& [name, finding] : findings) *response.add_findings() = std::move(finding);
  return response;
}

}  // namespace yagura::detection
