#pragma once

#include "common/store/kind.h"

namespace yagura::detection {

store::Kind FindingKind();
store::Kind RuleResourceKind();
store::Kind PlaceholderKind();
store::Kind RuleTuningKind();

}  // namespace yagura::detection
