#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "services/archive/domain/event_proof.h"
#include "yagura/archive/v1/proof.pb.h"

namespace yagura::archive {

inline constexpr size_t kMostFlawIds = 100;  // see EventFlaw.event_ids

// Of a unit whose events are not those that were stored.
struct UnitEvents {
  // Of what is there, in order of (receive time, id); as many of each.
  std::vector<std::string> ids;  // UTF-8
  std::vector<Sha256Digest> digests;
  // The checks of what was stored (see EventUnit), in that order.
  std::vector<uint16_t> stored;
};

// Which events are altered, inserted (one flaw each) and missing (one for each of the first 20
// places, and one for the others), as far as the short checks tell; without the unit's number.
std::vector<v1::EventFlaw> FlawsOf(const EventUnit& unit, const UnitEvents& events);

}  // namespace yagura::archive
