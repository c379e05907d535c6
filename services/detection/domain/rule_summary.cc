#include "services/detection/domain/rule_summary.h"

#include <algorithm>

#include "fmt/format.h"
#include "fmt/ranges.h"

namespace yagura::detection {
namespace {

using internal::v1::RuleSummary;

RuleSummary Summarize(const ParsedRule& parsed, const RuleInfo& info) {
  RuleSummary summary;
  summary.set_id(info.id);
  summary.set_version(parsed.version);
  summary.set_title(info.title);
  summary.set_severity(static_cast<event::v1::Severity>(info.severity));
  summary.set_description(info.description);
  summary.set_untold(parsed.untold);
  for (const auto& tag : info.tags) summary.add_tags(tag);
  for (const auto& text : info.false_positives) summary.add_false_positives(text);
  return summary;
}

std::string MeasureOf(const Correlation& correlation) {
  using Type = Correlation::Type;
  const std::string fields = fmt::format("{}", fmt::join(correlation.fields, ","));
  switch (correlation.type) {
    case Type::kEventCount:
      return "";
    case Type::kValueCount:
      return fmt::format("value_count({})", fields);
    case Type::kValueSum:
      return fmt::format("value_sum({})", fields);
    case Type::kValueAverage:
      return fmt::format("value_avg({})", fields);
    case Type::kValuePercentile:
      return correlation.percentile
                 ? fmt::format("value_percentile({}, {})", fields, *correlation.percentile)
                 : fmt::format("value_percentile({})", fields);
    case Type::kTemporal:
      return "temporal";
    case Type::kTemporalOrdered:
      return "temporal_ordered";
  }
  return "";
}

internal::v1::Comparison::Operator OperatorOf(Correlation::Comparison::Operator op) {
  using Operator = Correlation::Comparison::Operator;
  using internal::v1::Comparison;
  switch (op) {
    case Operator::kGt:
      return Comparison::GT;
    case Operator::kGte:
      return Comparison::GTE;
    case Operator::kLt:
      return Comparison::LT;
    case Operator::kLte:
      return Comparison::LTE;
    case Operator::kEq:
      return Comparison::EQ;
    case Operator::kNeq:
      return Comparison::NEQ;
  }
  return Comparison::OPERATOR_UNSPECIFIED;
}

// How much later than events the matches of the correlations below may come.
struct Delay {
  int64_t nanos = 0;
  uint32_t levels = 0;
  int64_t reach = 0;  // how much earlier the events of such a match may be
};
Delay DelayOf(const ParsedRule& parsed, const Correlation& correlation) {
  Delay longest;
  for (const auto& member : correlation.members) {
    if (!member.is_correlation) continue;
    const Correlation& inner = parsed.correlations[member.index];
    Delay delay = DelayOf(parsed, inner);
    if (!inner.IsMonotone()) {
      delay.nanos += inner.timespan.count();
      ++delay.levels;
    }
    longest.nanos = std::max(longest.nanos, delay.nanos);
    longest.levels = std::max(longest.levels, delay.levels);
    longest.reach = std::max(longest.reach, delay.reach + inner.timespan.count());
  }
  return longest;
}

}  // namespace

RuleSummary SummarizeRule(const ParsedRule& parsed, size_t rule, std::chrono::nanoseconds fold) {
  RuleSummary summary = Summarize(parsed, parsed.rules[rule].info);
  summary.set_threshold(1);
  summary.set_timespan_nanos(fold.count());
  return summary;
}

RuleSummary SummarizeCorrelation(const ParsedRule& parsed, size_t index) {
  const Correlation& correlation = parsed.correlations[index];
  RuleSummary summary = Summarize(parsed, correlation.info);
  summary.set_type(static_cast<internal::v1::CorrelationType>(static_cast<int>(correlation.type) +
                                                              internal::v1::EVENT_COUNT));
  summary.set_threshold(correlation.threshold());
  summary.set_timespan_nanos(correlation.timespan.count());
  for (const auto& condition : correlation.conditions) {
    auto* comparison = summary.add_conditions();
    comparison->set_op(OperatorOf(condition.op));
    comparison->set_value(condition.value);
  }
  if (correlation.percentile) summary.set_percentile(*correlation.percentile);
  summary.set_members(static_cast<uint32_t>(correlation.members.size()));
  if (correlation.outer) {
    summary.set_outer(parsed.correlations[*correlation.outer].info.id);
    summary.set_outer_member(correlation.outer_member);
  }
  summary.set_silent(!parsed.CorrelationMakesFindings(index));
  summary.set_at_end(!correlation.IsMonotone());
  const bool any_at_end = std::ranges::any_of(
      parsed.correlations, [](const Correlation& one) { return !one.IsMonotone(); });
  if (any_at_end || parsed.correlations.size() > 1) summary.set_text_id(parsed.info().id);
  const Delay delay = DelayOf(parsed, correlation);
  summary.set_delay_nanos(delay.nanos);
  summary.set_delay_levels(delay.levels);
  summary.set_reach_nanos(delay.reach);
  summary.set_measure(MeasureOf(correlation));
  return summary;
}

}  // namespace yagura::detection
