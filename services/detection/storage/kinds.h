#pragma once

#include "common/store/kind.h"

namespace yagura::detection {

store::Kind FindingKind();
store::Kind RuleResourceKind();
store::Kind RuleVersionKind();
store::Kind PlaceholderKind();
store::Kind RuleTuningKind();
store::Kind HuntKind();
store::Kind HuntResultKind();
store::Kind HuntPlanKind();
store::Kind HuntCheckpointKind();
store::Kind ObservationPolicyKind();

}  // namespace yagura::detection
