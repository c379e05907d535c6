#pragma once

#include "absl/status/statusor.h"

#include "services/detection/domain/engine/sigma_rule.h"
#include "yagura/detection/v1/rule.pb.h"

namespace yagura::detection {

// The reserved tenant whose rules apply to all tenants.
inline constexpr std::string_view kProviderTenant = "provider";

// Parses the rule's text and fills what follows from it: title, severity, version, kind, tags,
// description. RULE_REFUSED as ParseSigma says.
absl::StatusOr<ParsedRule> CompleteRule(v1::Rule& rule, const Placeholders& placeholders = {});

// "tenants/{tenant}/rules/{Sigma id}".
std::string RuleName(std::string_view tenant, const ParsedRule& parsed);

}  // namespace yagura::detection
