#pragma once

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"

namespace yagura::ingestion {

// Seconds since 1970 as a device's wall clock shows them.
using LocalSeconds = std::chrono::local_seconds;

// The time zone in which a source writes times without an offset. Thread-safe; copies are cheap.
class SourceZone {
 public:
  SourceZone();  // UTC
  // An IANA name, "Asia/Tokyo"; empty is UTC. INVALID_ARGUMENT where there is no such zone.
  static absl::StatusOr<SourceZone> Find(std::string_view name);

  // An hour that the clock shows twice is taken as the earlier; one that it skips as if the clock
  // had not been changed yet.
  std::chrono::sys_seconds ToUtc(LocalSeconds local) const;
  LocalSeconds ToLocal(std::chrono::sys_seconds time) const;
  // Whether "CST" and the like is what the zone calls itself at that time.
  bool IsCalled(std::string_view name, std::chrono::sys_seconds time) const;
  bool operator==(const SourceZone& other) const { return zone_ == other.zone_; }

 private:
  const void* zone_ = nullptr;  // a date::time_zone of the process's database, or UTC
};

}  // namespace yagura::ingestion
