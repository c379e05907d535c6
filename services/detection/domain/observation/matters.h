#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "services/detection/domain/observation/observed_hours.h"
#include "services/detection/domain/windows.h"
#include "yagura/archive/v1/time_range.pb.h"
#include "yagura/detection/internal/v1/observation_state.pb.h"
#include "yagura/detection/v1/finding.pb.h"

// What becomes of a deviation, a new destination or a beacon: findings, and which belong together.
// The same hours give the same findings, however often they are judged.
namespace yagura::detection {

inline constexpr std::string_view kDeviationRule = "00000000-0000-4000-8000-000000000010";
inline constexpr std::string_view kNewDestinationRule = "00000000-0000-4000-8000-000000000011";
inline constexpr std::string_view kBeaconRule = "00000000-0000-4000-8000-000000000012";
// Whether a finding is one of these: what it says is brought up to date as it goes on.
bool IsObservationFinding(const v1::Finding& finding);

// What goes on. A value of state.
class Matters {
 public:
  explicit Matters(internal::v1::ObservationState state) : state_(std::move(state)) {}

  // Joins the matter of that key, or begins one: a matter goes on while it comes again within a
  // day, for a week at most. Nothing changes where the hour has been counted before.
  const internal::v1::OpenMatter& Join(std::string_view tenant, std::string_view rule,
                                       const std::string& key, int64_t hour);
  // The hour is judged: what can no longer go on is forgotten.
  void Close(int64_t hour);
  const internal::v1::ObservationState& state() const { return state_; }

 private:
  internal::v1::ObservationState state_;
};

// The parts of a key, so that no name can be taken for two.
std::string MatterKey(const std::vector<std::string_view>& parts);

struct DeviationFacts {
  std::string tenant;
  DeviceKey device;
  v1::Measure measure = v1::MEASURE_UNSPECIFIED;
  JudgedHour judged;
  std::vector<v1::Contributor> contributors;
  std::vector<v1::KnownCause> causes;
  std::vector<v1::Evidence> events;  // some of those that were too many
};
// Events that were counted, in the grammar of the archive; of who brought most of it about, where
// somebody did.
std::string EventsFilter(const DeviationFacts& facts, bool of_contributor);
// "device", measure and direction.
std::string DeviationKey(const DeviationFacts& facts);
Windows::Outcome DeviationOutcome(const DeviationFacts& facts, const LocalHours& zone,
                                  const internal::v1::OpenMatter& matter);

// An event as archive gives it: when, its raw line, and whom it names.
v1::Evidence EventEvidence(const event::v1::Event& event);
// What the findings of all three have in common: name, times, count, and whether others are told.
Windows::Outcome MatterOutcome(std::string_view tenant, std::string_view rule,
                               const internal::v1::OpenMatter& matter);
// The events behind the finding, so far: of these hours, the last one included.
void SetSearch(std::string_view filter, archive::v1::TimeBasis basis, int64_t first, int64_t last,
               v1::Finding& finding);
void AddMatched(std::string_view name, std::string_view value, v1::Finding& finding);

}  // namespace yagura::detection
