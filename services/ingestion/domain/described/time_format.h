#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "services/ingestion/domain/source_zone.h"

namespace yagura::ingestion {

// A way of writing times, after strptime(3): %Y %y %m %b %d %e %H %I %p %M %S %f (fraction of a
// second, any number of digits) %z ("+0900", "+09:00", "Z"), %Z (as ReadZoneName() knows them;
// other names mean the source's zone) %j %s (seconds since 1970, with a fraction)
// %% and other characters as they stand; a space is any number of spaces. Also the words "iso" (RFC
// 3339, with a space or "T"), "bsd" ("Nov 21 09:15:42", year optional) and "epoch" (seconds to
// nanoseconds, told apart by size). A missing year is the one closest to the receive time.
// Immutable and thread-safe.
class TimeFormat {
 public:
  // INVALID_ARGUMENT for a letter that is not above.
  static absl::StatusOr<TimeFormat> Parse(std::string_view format);

  // Nothing where `text` does not begin in this way; what follows is not looked at. `zone_used`
  // becomes true where the text has no offset of its own.
  std::optional<TimePoint> Read(std::string_view text, TimePoint receive_time,
                                const SourceZone& zone, bool* zone_used) const;

 private:
  std::string format_;
};

}  // namespace yagura::ingestion
