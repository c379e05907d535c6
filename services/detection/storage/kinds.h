#pragma once

#include "common/store/kind.h"

namespace yagura::detection {

store::Kind FindingKind();
store::Kind RuleResourceKind();

}  // namespace yagura::detection
