#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "services/detection/domain/observation/baseline.h"
#include "services/detection/domain/observation/local_hours.h"
#include "yagura/archive/v1/hourly_measures.pb.h"
#include "yagura/coverage/v1/coverage.pb.h"
#include "yagura/detection/v1/observation.pb.h"

namespace yagura::detection {

struct DeviceKey {
  std::string site;
  std::string device;
  auto operator<=>(const DeviceKey&) const = default;
};

// Some hours of a tenant's devices: what was counted, and on how complete logs that stands. Hours
// are numbers since 1970 UTC.
class ObservedHours {
 public:
  // Nothing was counted before.
  void SetKnownSince(int64_t hour) { known_since_ = hour; }
  void Add(const archive::v1::HourlyMeasures& measures);
  // Of one source and hour.
  void Add(const coverage::v1::Coverage& coverage);

  std::vector<DeviceKey> devices() const;
  // Whether events were counted then at all.
  bool IsCounted(int64_t hour) const { return hour >= known_since_; }
  // What was counted; nothing where logs are missing, or nobody knows. An hour in which a device
  // sent no event at all is none of zero: it was silent.
  std::optional<double> ValueAt(const DeviceKey& device, v1::Measure measure, int64_t hour) const;
  // What came, complete or not.
  double CountedAt(const DeviceKey& device, v1::Measure measure, int64_t hour) const;
  // Why an hour is not known, for people; empty where it is.
  std::string GapAt(const DeviceKey& device, int64_t hour) const;
  // The same for what does not make it unknown, too: lines lost, wrong clocks; in `clock` whether
  // it is of the device's clock.
  struct Flaw {
    std::string text;
    bool clock = false;
  };
  std::vector<Flaw> FlawsAt(const DeviceKey& device, int64_t hour) const;
  // Minutes in which nothing came though somebody listened.
  std::optional<int> SilentMinutesAt(const DeviceKey& device, int64_t hour) const;

 private:
  struct Logs {  // all sources of the device
    uint64_t lines = 0;
    uint64_t lost = 0;
    uint64_t clock_errors = 0;
    uint32_t unwatched = 0;  // the most of a source
    uint32_t silent = 0;     // the least of a source
    bool any = false;
  };
  struct Device {
    std::map<int64_t, archive::v1::HourlyMeasures> measures;
    std::map<int64_t, Logs> logs;
  };
  const Device* Find(const DeviceKey& device) const;
  static std::string GapOf(const Device& device, int64_t hour);

  int64_t known_since_ = INT64_MIN;
  std::map<DeviceKey, Device> devices_;
};

// The hours that are asked for to judge one: it and its like in the weeks before, with those
// beside; the earliest at the end, and none twice.
struct HourRange {
  int64_t first = 0;
  int64_t last = 0;  // inclusive
};
std::vector<HourRange> HoursFor(int64_t hour, const v1::ObservationPolicy& policy);

// One hour of one measure of one device, judged.
struct JudgedHour {
  int64_t hour = 0;
  double observed = 0;
  v1::ObservationPoint::PointState state = v1::ObservationPoint::UNKNOWN;
  std::string gap;
  std::optional<Baseline> baseline;
  Surprise surprise;
};
// `policy` as of EffectivePolicy. Far fewer is never said where the hour's logs have a gap, of an
// hour that was more silent than its like, or on a special day that counts as no weekday; far more
// is, whatever is missing. A special day that counts as another weekday is held against days of
// that one.
JudgedHour JudgeHour(const ObservedHours& hours, const DeviceKey& device, v1::Measure measure,
                     int64_t hour, const LocalHours& zone, const v1::ObservationPolicy& policy);

// With defaults in place of what is not set.
v1::ObservationPolicy EffectivePolicy(v1::ObservationPolicy policy);

}  // namespace yagura::detection
