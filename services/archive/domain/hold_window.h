#pragma once

#include "services/archive/domain/time_window.h"

namespace yagura::archive {

namespace v1 {
class LegalHold;
}

// The range of receive times that a hold keeps; without an end, up to TimePoint::max().
TimeWindow WindowOf(const v1::LegalHold& hold);

}  // namespace yagura::archive
