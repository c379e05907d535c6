#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace date {
class time_zone;
}

namespace yagura::detection {

// Hours of the clock as people at a place live them. Hours are numbers since 1970 UTC; in a zone
// that is half an hour beside, an hour begins at half past. Immutable and thread-safe.
class LocalHours {
 public:
  // INVALID_ARGUMENT where there is no such IANA zone.
  static absl::StatusOr<LocalHours> Make(const std::string& zone);

  const std::string& zone() const { return name_; }
  // "Mon 2026-11-23 09:00".
  std::string Text(int64_t hour) const;
  // "2026-11-23".
  std::string Day(int64_t hour) const;
  // The same time of the day, so many days before: 24 hours a day, but for a change of the clocks
  // in between. Nothing where the clock skipped it then. Of a time that came twice, the first.
  std::optional<int64_t> DaysBefore(int64_t hour, int days) const;

 private:
  LocalHours(std::string name, const date::time_zone* zone) : name_(std::move(name)), zone_(zone) {}

  std::string name_;
  const date::time_zone* zone_;  // of the process's table, for ever
};

}  // namespace yagura::detection
