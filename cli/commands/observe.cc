#include <algorithm>
#include <array>
#include <cmath>

#include "cli/commands/command.h"
#include "cli/time_range.h"
#include "fmt/format.h"

#include "common/clock/clock.h"
#include "common/clock/proto_time.h"
#include "common/text/text.h"
#include "yagura/detection/v1/detection_service.grpc.pb.h"

namespace yagura::cli {
namespace {

namespace dv1 = detection::v1;
using dv1::DetectionService;

// The rules of what observation finds: deviations, new destinations, beacons.
constexpr char kFindingsFilter[] =
    "rule_id = (\"00000000-0000-4000-8000-000000000010\" OR "
    "\"00000000-0000-4000-8000-000000000011\" OR \"00000000-0000-4000-8000-000000000012\")";

struct SeriesOptions {
  std::string device;
  std::string tenant;
  std::string measure;
  std::string since = "7d";
  std::string until = "now";
  bool spark = false;
};

absl::StatusOr<dv1::Measure> ParseMeasure(const std::string& text) {
  dv1::Measure measure = dv1::MEASURE_UNSPECIFIED;
  if (text.empty()) return measure;
  std::string name = ToUpper(text);
  std::ranges::replace(name, '-', '_');
  if (!dv1::Measure_Parse(name, &measure)) {
    return InvalidField("measure",
                        "is none of denies, uploaded-bytes, destinations, signatures, "
                        "grave-signatures, failed-logons");
  }
  return measure;
}

std::string Number(double value) {
  constexpr std::array<const char*, 5> kUnits = {"", "k", "M", "G", "T"};
  size_t unit = 0;
  while (value >= 10'000 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{:.{}f}{}", value, unit > 0 && value < 100 ? 1 : 0, kUnits.at(unit));
}

const char* StateText(dv1::ObservationPoint::PointState state) {
  switch (state) {
    case dv1::ObservationPoint::FAR_MORE:
      return "FAR MORE";
    case dv1::ObservationPoint::FAR_FEWER:
      return "FAR FEWER";
    case dv1::ObservationPoint::LEARNING:
      return "learning";
    case dv1::ObservationPoint::UNKNOWN:
      return "unknown";
    case dv1::ObservationPoint::RUNNING:
      return "running";
    default:
      return "";
  }
}

// A character an hour; below it the hours that differ.
std::string Sparkline(const dv1::Observation& observation) {
  constexpr std::array<const char*, 8> kBars = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  double most = 1;
  for (const auto& point : observation.points()) most = std::max(most, point.observed());
  std::string bars;
  std::string marks;
  for (const auto& point : observation.points()) {
    const auto level =
        static_cast<size_t>(std::lround(point.observed() / most * (kBars.size() - 1)));
    const bool is_known = point.state() != dv1::ObservationPoint::UNKNOWN;
    bars += is_known ? kBars.at(std::min(level, kBars.size() - 1)) : "?";
    marks += point.state() == dv1::ObservationPoint::FAR_MORE    ? '^'
             : point.state() == dv1::ObservationPoint::FAR_FEWER ? 'v'
                                                                 : ' ';
  }
  return fmt::format("{}\n{}\n", bars, marks);
}

std::string Heading(const dv1::Observation& observation) {
  return fmt::format("{} of {} at {}, times of {}\n", dv1::Measure_Name(observation.measure()),
                     EscapeForTerminal(observation.device()),
                     observation.site().empty() ? "no site" : EscapeForTerminal(observation.site()),
                     observation.time_zone());
}

void PrintSeries(Program& program, const dv1::Observation& observation, bool spark) {
  if (program.format() != Format::kTable) {
    program.Print(observation);
    return;
  }
  Write(Heading(observation));
  if (spark) {
    Write(Sparkline(observation));
    return;
  }
  Renderer renderer(
      program.format(),
      {{"HOUR", "local_hour"},
       {"OBSERVED", "", 20,
        [](const auto& point) {
          return Number(static_cast<const dv1::ObservationPoint&>(point).observed());
        }},
       {"USUAL", "", 20,
        [](const auto& message) {
          const auto& point = static_cast<const dv1::ObservationPoint&>(message);
          return point.has_expected() ? Number(point.expected()) : "";
        }},
       {"BAND", "", 30,
        [](const auto& message) {
          const auto& point = static_cast<const dv1::ObservationPoint&>(message);
          return point.has_high() ? Number(point.low()) + " to " + Number(point.high()) : "";
        }},
       {"SURPRISE", "", 10,
        [](const auto& message) {
          const auto& point = static_cast<const dv1::ObservationPoint&>(message);
          return point.has_z() ? fmt::format("{:.1f}", point.z()) : "";
        }},
       {"STATE", "", 12,
        [](const auto& point) {
          return std::string(StateText(static_cast<const dv1::ObservationPoint&>(point).state()));
        }},
       {"GAP", "gap", 50}});
  for (const auto& point : observation.points()) renderer.Add(point);
  Write(renderer.Flush());
  Write(renderer.Finish());
}

void AddSeries(Program& program, CLI::App& group) {
  auto options = std::make_shared<SeriesOptions>();
  CLI::App& command = *group.add_subcommand(
      "series", "What a device did hour by hour, and what is usual at that hour of the week");
  command.add_option("device", options->device, "Device id")->required();
  command.add_option("--tenant", options->tenant, "Tenant id")->required();
  command.add_option("--measure", options->measure,
                     "denies, uploaded-bytes, destinations, signatures, grave-signatures or "
                     "failed-logons; all of them if not given");
  command.add_option("--since,--from", options->since, "Begin: a time, or how long ago")
      ->capture_default_str();
  command.add_option("--until,--to", options->until, "End")->capture_default_str();
  command.add_flag("--spark", options->spark, "One line of bars, with marks where hours differ");
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    dv1::GetObservationRequest request;
    request.set_parent(TenantParent(options->tenant));
    request.set_device(options->device);
    YAGURA_ASSIGN_OR_RETURN(const auto measure, ParseMeasure(options->measure));
    request.set_measure(measure);
    const TimePoint now = SystemClock()->Now();
    YAGURA_ASSIGN_OR_RETURN(const TimePoint since, ParseWhen(options->since, now));
    YAGURA_ASSIGN_OR_RETURN(const TimePoint until, ParseWhen(options->until, now));
    *request.mutable_start_time() = ToProto(since);
    *request.mutable_end_time() = ToProto(until);
    YAGURA_ASSIGN_OR_RETURN(const auto response,
                            client.Call(&DetectionService::Stub::GetObservation, request));
    for (const auto& observation : response.observations()) {
      PrintSeries(program, observation, options->spark);
    }
    if (response.observations().empty() && program.format() == Format::kTable) Write("(none)\n");
    return absl::OkStatus();
  });
}

void AddDeviations(Program& program, CLI::App& group) {
  struct Options {
    ListOptions list;
    std::string tenant;
  };
  auto options = std::make_shared<Options>();
  CLI::App& command =
      *group.add_subcommand("findings", "Deviations, new destinations and beacons that were found");
  command.add_option("--tenant", options->tenant, "Tenant id; without it all that you may see");
  AddListOptions(command, options->list);
  program.DoConnected(command, [&program, options](Client& client) {
    ListOptions list = options->list;
    list.parent = TenantParent(options->tenant);
    list.filter = list.filter.empty() ? kFindingsFilter
                                      : fmt::format("{} AND ({})", kFindingsFilter, list.filter);
    return PrintList(client, list, program.format(),
                     {{"LAST", "last_event_time"},
                      {"SEVERITY", "severity"},
                      {"DEVICE", "device", 20},
                      {"TITLE", "title", 50},
                      {"SURPRISE", "deviation.z"},
                      {"OBSERVED", "deviation.observed"},
                      {"HOURS", "event_count"},
                      {"NAME", "name", 80}},
                     &DetectionService::Stub::ListFindings);
  });
}

struct PolicyOptions {
  std::string tenant;
  bool on = false;
  bool off = false;
  std::string sensitivity;
  std::vector<std::string> measures;
  int weeks = 0;
  std::vector<std::string> excluded;
  std::vector<std::string> days;
  bool no_new_destinations = false;
  int new_destination_days = 0;
  bool no_beacons = false;
  std::string reason;
};

absl::StatusOr<dv1::UpdateObservationPolicyRequest> PolicyRequest(const PolicyOptions& options) {
  dv1::UpdateObservationPolicyRequest request;
  auto& policy = *request.mutable_observation_policy();
  policy.set_name(ResourceName(options.tenant, "observationPolicies", "default"));
  policy.set_disabled(options.off);
  if (!options.sensitivity.empty()) {
    dv1::ObservationPolicy::Sensitivity sensitivity{};
    if (!dv1::ObservationPolicy::Sensitivity_Parse(ToUpper(options.sensitivity), &sensitivity)) {
      return InvalidField("sensitivity", "is none of low, normal, high");
    }
    policy.set_sensitivity(sensitivity);
  }
  for (const std::string& text : options.measures) {
    YAGURA_ASSIGN_OR_RETURN(const auto measure, ParseMeasure(text));
    policy.add_measures(measure);
  }
  policy.set_weeks(options.weeks);
  for (const auto& device : options.excluded) policy.add_excluded_devices(device);
  for (const auto& day : options.days) policy.add_special_days(day);
  policy.set_new_destinations_disabled(options.no_new_destinations);
  policy.set_new_destination_days(options.new_destination_days);
  policy.set_beacons_disabled(options.no_beacons);
  policy.set_reason(options.reason);
  SetRequestId(request);
  return request;
}

void AddPolicySet(Program& program, CLI::App& group) {
  auto options = std::make_shared<PolicyOptions>();
  CLI::App& command = *group.add_subcommand(
      "set", "Say what is observed of a tenant, in place of all that was set before");
  command
      .add_option("--tenant", options->tenant,
                  "Tenant id; \"provider\" is for all tenants without one of their own")
      ->required();
  auto* on = command.add_flag("--on", options->on, "Observe (as if nothing was said)");
  command.add_flag("--off", options->off, "Judge no hour")->excludes(on);
  command.add_option("--sensitivity", options->sensitivity, "low, normal or high");
  command.add_option("--measure", options->measures, "Judge this one; may come again");
  command.add_option("--weeks", options->weeks, "Weeks that the usual is learnt from, 3 to 26");
  command.add_option("--exclude-device", options->excluded, "Do not judge it; may come again");
  command.add_option("--special-day", options->days,
                     "A holiday or the like, 2026-11-23, or with the weekday that it counts as, "
                     "2026-11-23=sun; may come again");
  command.add_flag("--no-new-destinations", options->no_new_destinations,
                   "Look for no new destinations of servers");
  command.add_option("--new-destination-days", options->new_destination_days,
                     "Days that a server must be known for, 1 to 90");
  command.add_flag("--no-beacons", options->no_beacons, "Look for no beacons");
  command.add_option("--reason", options->reason, "Who agreed to it, when and why");
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    YAGURA_ASSIGN_OR_RETURN(const auto request, PolicyRequest(*options));
    YAGURA_ASSIGN_OR_RETURN(const auto set,
                            client.Call(&DetectionService::Stub::UpdateObservationPolicy, request));
    program.Print(set);
    return absl::OkStatus();
  });
}

void AddPolicyGet(Program& program, CLI::App& group) {
  auto tenant = std::make_shared<std::string>();
  CLI::App& command = *group.add_subcommand("policy", "What is observed of a tenant");
  command.add_option("--tenant", *tenant, "Tenant id")->required();
  program.DoConnected(command, [&program, tenant](Client& client) -> absl::Status {
    dv1::GetObservationPolicyRequest request;
    request.set_name(ResourceName(*tenant, "observationPolicies", "default"));
    YAGURA_ASSIGN_OR_RETURN(const auto policy,
                            client.Call(&DetectionService::Stub::GetObservationPolicy, request));
    program.Print(policy);
    return absl::OkStatus();
  });
}

}  // namespace

void AddObserveCommands(Program& program) {
  CLI::App& group = program.Group(
      "observe", "Devices hour by hour against what is usual, new destinations, beacons");
  AddSeries(program, group);
  AddDeviations(program, group);
  AddPolicyGet(program, group);
  AddPolicySet(program, group);
}

}  // namespace yagura::cli
