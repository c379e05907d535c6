#include "services/detection/domain/rule_resource.h"

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::detection {
namespace {

v1::RuleKind KindOf(const ParsedRule& parsed) {
  if (parsed.filter) return v1::FILTER;
  if (parsed.correlations.empty()) return v1::SINGLE_EVENT;
  switch (parsed.correlations.front().type) {
    case Correlation::Type::kEventCount:
      return v1::EVENT_COUNT;
    case Correlation::Type::kValueCount:
      return v1::VALUE_COUNT;
    case Correlation::Type::kValueSum:
      return v1::VALUE_SUM;
    case Correlation::Type::kValueAverage:
      return v1::VALUE_AVERAGE;
    case Correlation::Type::kValuePercentile:
      return v1::VALUE_PERCENTILE;
    case Correlation::Type::kTemporal:
      return v1::TEMPORAL;
    case Correlation::Type::kTemporalOrdered:
      return v1::TEMPORAL_ORDERED;
  }
  return v1::RULE_KIND_UNSPECIFIED;
}

}  // namespace

absl::StatusOr<ParsedRule> CompleteRule(v1::Rule& rule, const Placeholders& placeholders) {
  YAGURA_ASSIGN_OR_RETURN(ParsedRule parsed, ParseSigma(rule.text(), placeholders));
  const RuleInfo& info = parsed.info();
  rule.set_title(ToValidUtf8(info.title));
  rule.set_severity(static_cast<event::v1::Severity>(info.severity));
  rule.set_version(parsed.version);
  rule.set_kind(KindOf(parsed));
  rule.clear_tags();
  for (const auto& tag : info.tags) rule.add_tags(ToValidUtf8(tag));
  rule.set_description(ToValidUtf8(info.description));
  return parsed;
}

std::string RuleName(std::string_view tenant, const ParsedRule& parsed) {
  return fmt::format("tenants/{}/rules/{}", tenant, parsed.info().id);
}

}  // namespace yagura::detection
