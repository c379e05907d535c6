#include "services/detection/api/observation_handlers.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>
#include <vector>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/rpc/service_registry.h"
#include "common/rpc/standard_methods.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/detection/domain/observation/special_days.h"
#include "services/detection/workers/observation_worker.h"

namespace yagura::detection {
namespace {

constexpr int kLeastWeeks = 3;
constexpr int kMostWeeks = 26;
constexpr int kMostDays = 90;
constexpr int kMostDevices = 1'000;
constexpr int kMostSpecialDays = 400;
constexpr size_t kMostReason = 1'024;
constexpr size_t kMostId = 256;
constexpr std::chrono::hours kDefaultRange{7 * 24};
constexpr std::chrono::hours kLongestRange{62 * 24};

bool IsPlain(std::string_view text, size_t most) {
  return text.size() <= most && IsValidUtf8(text) &&
         std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

Status CheckPolicy(const v1::ObservationPolicy& policy) {
  FieldErrors errors;
  const auto check = [&errors](bool good, const char* field, std::string_view why) {
    if (!good) errors.Add(fmt::format("observation_policy.{}", field), why);
  };
  check(policy.name().ends_with("/observationPolicies/default"), "name",
        "must be tenants/{tenant}/observationPolicies/default");
  check(v1::ObservationPolicy::Sensitivity_IsValid(policy.sensitivity()), "sensitivity",
        "is not known");
  const std::set<int> measures(policy.measures().begin(), policy.measures().end());
  check(measures.size() == static_cast<size_t>(policy.measures_size()) &&
            std::all_of(measures.begin(), measures.end(),
                        [](int one) { return FactsOf(static_cast<v1::Measure>(one)) != nullptr; }),
        "measures", "must be measures, each once");
  check(policy.weeks() == 0 || (policy.weeks() >= kLeastWeeks && policy.weeks() <= kMostWeeks),
        "weeks", fmt::format("must be {} to {}", kLeastWeeks, kMostWeeks));
  check(policy.new_destination_days() >= 0 && policy.new_destination_days() <= kMostDays,
        "new_destination_days", fmt::format("must be 1 to {}", kMostDays));
  check(policy.excluded_devices_size() <= kMostDevices &&
            std::all_of(policy.excluded_devices().begin(), policy.excluded_devices().end(),
                        [](const auto& id) { return !id.empty() && IsPlain(id, kMostId); }),
        "excluded_devices", fmt::format("must be at most {} ids", kMostDevices));
  check(policy.special_days_size() <= kMostSpecialDays &&
            std::all_of(policy.special_days().begin(), policy.special_days().end(),
                        [](const auto& day) { return ParseSpecialDay(day).has_value(); }),
        "special_days",
        fmt::format("must be at most {} days like 2026-11-23 or 2026-11-23=sun", kMostSpecialDays));
  check(IsPlain(policy.reason(), kMostReason), "reason",
        fmt::format("must be at most {} bytes without control characters", kMostReason));
  return errors.ToStatus();
}

int64_t HourOf(TimePoint time) {
  return std::chrono::floor<std::chrono::hours>(time).time_since_epoch().count();
}

v1::ObservationPoint MakePoint(const JudgedHour& judged, const LocalHours& zone, int64_t now) {
  v1::ObservationPoint point;
  *point.mutable_hour() = ToProto(TimePoint(std::chrono::hours(judged.hour)));
  point.set_local_hour(zone.Text(judged.hour));
  point.set_observed(judged.observed);
  if (judged.baseline) {
    point.set_expected(judged.baseline->expected);
    point.set_low(judged.baseline->low);
    point.set_high(judged.baseline->high);
    point.set_z(judged.surprise.z);
  }
  point.set_state(judged.hour >= now ? v1::ObservationPoint::RUNNING : judged.state);
  point.set_gap(judged.gap);
  return point;
}

}  // namespace

ObservationHandlers::ObservationHandlers(store::Store<v1::ObservationPolicy> policies,
                                         DataOf data_of, std::shared_ptr<const Clock> clock)
    : policies_(std::move(policies)), data_of_(std::move(data_of)), clock_(std::move(clock)) {}

void ObservationHandlers::Register(rpc::ServiceRegistry& registry) {
  const std::string service = "/yagura.detection.v1.DetectionService/";
  registry.Unary<v1::GetObservationRequest, v1::GetObservationResponse>(
      service + "GetObservation",
      [this](const auto& call, const auto& request) { return GetObservation(call, request); });
  registry.Unary<v1::GetObservationPolicyRequest, v1::ObservationPolicy>(
      service + "GetObservationPolicy",
      [this](const auto& call, const auto& request) { return GetPolicy(call, request); });
  registry.Unary<v1::UpdateObservationPolicyRequest, v1::ObservationPolicy>(
      service + "UpdateObservationPolicy",
      [this](const auto& call, const auto& request) { return UpdatePolicy(call, request); });
}

absl::StatusOr<v1::ObservationPolicy> ObservationHandlers::GetPolicy(
    const rpc::Call& call, const v1::GetObservationPolicyRequest& request) const {
  if (!request.name().ends_with("/observationPolicies/default")) return NotFound(request.name());
  YAGURA_ASSIGN_OR_RETURN(auto policy, PolicyOf(policies_, call.tenant()));
  return EffectivePolicy(std::move(policy));
}

absl::StatusOr<v1::ObservationPolicy> ObservationHandlers::UpdatePolicy(
    const rpc::Call& call, const v1::UpdateObservationPolicyRequest& request) {
  const v1::ObservationPolicy& wanted = request.observation_policy();
  YAGURA_RETURN_IF_ERROR(CheckPolicy(wanted));
  const auto change = [&wanted](v1::ObservationPolicy& kept) -> Status {
    YAGURA_RETURN_IF_ERROR(rpc::CheckEtag(wanted.etag(), kept));
    v1::ObservationPolicy changed = wanted;
    changed.set_etag(kept.etag());
    changed.clear_create_time();
    changed.clear_update_time();
    if (kept.has_create_time()) *changed.mutable_create_time() = kept.create_time();
    if (kept.has_update_time()) *changed.mutable_update_time() = kept.update_time();
    kept = std::move(changed);
    return absl::OkStatus();
  };
  auto changed = policies_.Mutate(call.write_context(), wanted.name(), change);
  if (changed.status().code() != absl::StatusCode::kNotFound || !wanted.etag().empty()) {
    return changed;
  }
  v1::ObservationPolicy fresh;
  YAGURA_RETURN_IF_ERROR(change(fresh));
  return policies_.Create(call.write_context(), std::move(fresh));
}

absl::StatusOr<v1::GetObservationResponse> ObservationHandlers::GetObservation(
    const rpc::Call& call, const v1::GetObservationRequest& request) const {
  if (call.all_tenants()) return InvalidField("parent", "must name one tenant");
  if (request.device().empty() || !IsPlain(request.device(), kMostId)) {
    return InvalidField("device", "must be the id of a device");
  }
  if (!v1::Measure_IsValid(request.measure())) return InvalidField("measure", "is not known");
  const TimePoint now = clock_->Now();
  const TimePoint end = request.has_end_time() ? FromProto(request.end_time()) : now;
  const TimePoint start =
      request.has_start_time() ? FromProto(request.start_time()) : end - kDefaultRange;
  if (start >= end || end - start > kLongestRange) {
    return InvalidField("start_time", "must be before the end, by 62 days at most");
  }
  YAGURA_ASSIGN_OR_RETURN(auto policy, PolicyOf(policies_, call.tenant()));
  policy = EffectivePolicy(std::move(policy));
  const auto data = data_of_(call);
  YAGURA_ASSIGN_OR_RETURN(const auto zones, data->ZonesOf(call.tenant()));
  const int64_t first = HourOf(start);
  const int64_t last = HourOf(end - std::chrono::nanoseconds(1));
  ObservedHours hours;
  const std::vector<HourRange> before = HoursFor(first, policy);
  YAGURA_RETURN_IF_ERROR(data->ReadHours(call.tenant(),
                                         {{before.back().first, std::min(last, HourOf(now))}},
                                         request.device(), &hours));
  v1::GetObservationResponse response;
  for (const DeviceKey& device : hours.devices()) {
    const auto own = zones.sites.find(device.site);
    auto zone = LocalHours::Make(own == zones.sites.end() ? zones.tenant : own->second);
    if (!zone.ok()) zone = LocalHours::Make("UTC");
    YAGURA_RETURN_IF_ERROR(zone.status());
    for (const MeasureFacts& facts : AllMeasures()) {
      if (request.measure() != v1::MEASURE_UNSPECIFIED && request.measure() != facts.measure) {
        continue;
      }
      v1::Observation& observation = *response.add_observations();
      observation.set_site(device.site);
      observation.set_device(device.device);
      observation.set_measure(facts.measure);
      observation.set_time_zone(zone->zone());
      for (int64_t hour = first; hour <= last; ++hour) {
        *observation.add_points() = MakePoint(
            JudgeHour(hours, device, facts.measure, hour, *zone, policy), *zone, HourOf(now));
      }
    }
  }
  return response;
}

}  // namespace yagura::detection
