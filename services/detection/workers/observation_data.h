#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "services/detection/domain/observation/measures.h"
#include "services/detection/domain/observation/observed_hours.h"
#include "yagura/archive/v1/flow.pb.h"
#include "yagura/archive/v1/periodic_flow.pb.h"
#include "yagura/archive/v1/time_range.pb.h"
#include "yagura/detection/v1/finding.pb.h"
#include "yagura/detection/v1/observation.pb.h"

namespace yagura::detection {

// What observation asks other services about a tenant. Thread-safe. Errors are those of the
// services; UNAVAILABLE and DEADLINE_EXCEEDED pass.
class ObservationData {
 public:
  virtual ~ObservationData() = default;

  struct Zones {
    std::string tenant;
    std::map<std::string, std::string> sites;  // those with a zone of their own
  };
  // NOT_FOUND where the tenant does not exist (any more).
  virtual absl::StatusOr<Zones> ZonesOf(const std::string& tenant) const = 0;

  // Measures and coverage of these hours. `device`: of that one alone; empty: of all.
  virtual absl::Status ReadHours(const std::string& tenant, const std::vector<HourRange>& ranges,
                                 const std::string& device, ObservedHours* hours) const = 0;
  // Who brought most of a number about in an hour.
  virtual absl::StatusOr<std::vector<v1::Contributor>> Contributors(const std::string& tenant,
                                                                    const DeviceKey& device,
                                                                    const MeasureFacts& measure,
                                                                    int64_t hour) const = 0;
  // Events behind a number, the first received first, at most `most`.
  struct EventsQuestion {
    std::string filter;  // in the grammar of the archive
    archive::v1::TimeBasis basis = archive::v1::TIME_BASIS_UNSPECIFIED;
    TimePoint start;
    TimePoint end;
    int most = 5;
  };
  virtual absl::StatusOr<std::vector<v1::Evidence>> EventsOf(
      const std::string& tenant, const EventsQuestion& question) const = 0;
  // Changes that were applied to the device, and updates of its signatures, in the time from
  // `start` to before `end`.
  virtual absl::StatusOr<std::vector<v1::KnownCause>> Causes(const std::string& tenant,
                                                             const std::string& device,
                                                             TimePoint start,
                                                             TimePoint end) const = 0;

  // A page of flows, as ArchiveService.ListFlows answers.
  virtual absl::StatusOr<std::vector<archive::v1::Flow>> Flows(
      const std::string& tenant, const archive::v1::ListFlowsRequest& request) const = 0;
  virtual absl::StatusOr<std::vector<archive::v1::PeriodicFlow>> PeriodicFlows(
      const std::string& tenant, const archive::v1::ListPeriodicFlowsRequest& request) const = 0;
};

}  // namespace yagura::detection
