#pragma once

#include <cstdint>

#include "services/detection/domain/inventory.h"
#include "services/detection/domain/kev.h"
#include "yagura/detection/v1/finding.pb.h"

namespace yagura::detection {

// What impact is judged by.
struct ImpactBasis {
  // The tenant's; null: it could not be read yet.
  const Inventory* inventory = nullptr;
  // Null: there is none.
  const KevCatalog* kev = nullptr;
};

// The attack's target against what the tenant has. The same finding, inventory and catalogue give
// the same answer. What is not known is never taken as "not affected".
v1::Impact JudgeImpact(const v1::Finding& finding, const ImpactBasis& basis);

// 1 to 100, by severity and impact: of two findings of the same severity the one that came through
// ranks higher than the one that was blocked.
int32_t RankOf(const v1::Finding& finding);

}  // namespace yagura::detection
