#include "services/detection/domain/rule_resource.h"

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::detection {

absl::StatusOr<ParsedRule> CompleteRule(v1::Rule& rule) {
  YAGURA_ASSIGN_OR_RETURN(ParsedRule parsed, ParseSigma(rule.text()));
  const RuleInfo& info = parsed.info();
  rule.set_title(ToValidUtf8(info.title));
  rule.set_severity(static_cast<event::v1::Severity>(info.severity));
  rule.set_version(parsed.version);
  rule.set_kind(parsed.correlation ? v1::EVENT_COUNT : v1::SINGLE_EVENT);
  rule.clear_tags();
  for (const auto& tag : info.tags) rule.add_tags(ToValidUtf8(tag));
  rule.set_description(ToValidUtf8(info.description));
  return parsed;
}

std::string RuleName(std::string_view tenant, const ParsedRule& parsed) {
  return fmt::format("tenants/{}/rules/{}", tenant, parsed.info().id);
}

}  // namespace yagura::detection
