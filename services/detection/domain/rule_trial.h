#pragma once

#include <string_view>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "services/detection/domain/engine/sigma_rule.h"
#include "yagura/detection/v1/detection_service.pb.h"

namespace yagura::detection {

// Runs a rule over given events as if they had just come in, whatever its logsource. Events without
// times get `now`.
absl::StatusOr<v1::TestRuleResponse> TryRule(
    std::string_view tenant, ParsedRule rule,
    const google::protobuf::RepeatedPtrField<event::v1::Event>& events, TimePoint now);

}  // namespace yagura::detection
