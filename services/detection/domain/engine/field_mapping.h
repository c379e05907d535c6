#pragma once

#include "services/detection/domain/engine/sigma_rule.h"

namespace yagura::detection {

// Lets the tests of a rule look at further fields where products name otherwise what Sigma's
// taxonomy has for the rule's category: "cs-method" is also "verb". A test of a field that has
// other names passes where it passes on any of them.
void MapFields(const Logsource& logsource, Expression& condition);

}  // namespace yagura::detection
