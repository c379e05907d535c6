#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"

#include "services/detection/domain/hunt_probe.h"
#include "services/detection/workers/hunt_archive.h"
#include "yagura/detection/internal/v1/hunts.pb.h"

namespace yagura::detection {

// Shows a probe the stored events of one tenant: pass after pass, in slices of time that the
// archive can read within a call. The checkpoint says at any message how far it is, so that whoever
// goes on from it counts every event once. Not thread-safe.
class HuntRun {
 public:
  struct Options {
    std::chrono::nanoseconds slice{std::chrono::hours(24)};  // the first; then as fits
    uint64_t most_events = UINT64_MAX;                       // that are looked at one by one
  };
  struct Range {
    std::string tenant;
    std::string event_filter;  // of all passes
    TimePoint start;           // of receipt
    TimePoint end;
  };
  // Called again and again with what was found so far and from 0 to 1 how far that is. False: stop.
  using Keep = std::function<absl::StatusOr<bool>(double progress)>;

  HuntRun(HuntArchive& archive, HuntProbe& probe, Range range, const Options& options)
      : archive_(archive),
        probe_(probe),
        range_(std::move(range)),
        options_(options),
        width_(options.slice) {}

  // Goes on from the checkpoint, which is moved. True: all events have been looked at, or as many
  // as may be; false: `keep` stopped it. Errors are those of the archive and of `keep`.
  absl::StatusOr<bool> Go(internal::v1::HuntCheckpoint& at, const Keep& keep);

 private:
  using Checkpoint = internal::v1::HuntCheckpoint;
  absl::Status ReadSome(Checkpoint& at, const Keep& keep);
  bool Take(archive::v1::SearchEventsResponse& message, TimePoint slice_end, Checkpoint& at);
  absl::Status AfterTrouble(const absl::Status& status, bool got_events, const Checkpoint& at);
  double ProgressAt(const Checkpoint& at) const;

  HuntArchive& archive_;
  HuntProbe& probe_;
  const Range range_;
  const Options options_;
  std::chrono::nanoseconds width_;
  TimePoint reached_{};  // within the slice
  absl::Status looked_;
  bool stopped_ = false;
  bool full_ = false;
  int stuck_ = 0;
};

}  // namespace yagura::detection
