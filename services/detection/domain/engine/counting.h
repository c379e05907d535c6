#pragma once

#include <string>

#include "services/detection/domain/engine/sigma_rule.h"

namespace yagura::detection {

// What decides which events the rules of a text count, into which groups and for how long, as 16
// hex digits: conditions (filtered and with the values of placeholders), log sources, correlations
// with their time spans. Not what findings tell, nor the numbers that a correlation compares with:
// windows of the same digest go on where these change. The same in every process, and in the next
// release where it reads the text alike.
std::string CountingOf(const ParsedRule& parsed);

}  // namespace yagura::detection
