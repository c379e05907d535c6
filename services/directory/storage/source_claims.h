#pragma once

#include <vector>

#include "common/store/kind.h"

namespace yagura::directory::v1 {
class Source;
}

namespace yagura::directory {

// What a source has to itself within its tenant. Of a serial number, in a virtual context, all
// sources name the same device, and no two have the same criteria: otherwise lines of one device
// are taken for another's. A disabled source, and one without a serial number, claims nothing.
std::vector<store::Claim> ClaimsOf(const v1::Source& source);

}  // namespace yagura::directory
