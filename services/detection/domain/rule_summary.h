#pragma once

#include <chrono>

#include "services/detection/domain/engine/sigma_rule.h"
#include "yagura/detection/internal/v1/hits.pb.h"

namespace yagura::detection {

// What windows need to know of a single-event rule of a text. `fold`: how long its matches fold
// into one finding.
internal::v1::RuleSummary SummarizeRule(const ParsedRule& parsed, size_t rule,
                                        std::chrono::nanoseconds fold);
// The same of a correlation.
internal::v1::RuleSummary SummarizeCorrelation(const ParsedRule& parsed, size_t correlation);

}  // namespace yagura::detection
