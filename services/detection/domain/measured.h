#pragma once

#include "services/detection/domain/pending.h"
#include "yagura/detection/internal/v1/hits.pb.h"

// What the events of a finding come to together while it grows: as many different values, the sum,
// as many rules. Bounded, and the same whatever batches they come in. Plain functions over the
// message that is kept.
namespace yagura::detection {

// Different values are counted up to here; from there on their number is an estimate.
inline constexpr int kMaxMeasuredValues = 1'024;

// Whether findings of the rule tell that. What is measured at the end of a window does not grow.
bool IsMeasured(const internal::v1::RuleSummary& rule);
// Adds an event of such a rule.
void AddMeasured(const internal::v1::RuleSummary& rule, const PendingEvent& event,
                 internal::v1::Measured& measured);
// It has come to that much.
void RaiseMeasured(double measure, internal::v1::Measured& measured);

}  // namespace yagura::detection
