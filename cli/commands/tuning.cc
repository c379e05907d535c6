#include "cli/commands/command.h"
#include "fmt/format.h"

#include "common/config/units.h"
#include "common/text/text.h"
#include "yagura/detection/v1/detection_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using detection::v1::DetectionService;

constexpr size_t kMaxValuesBytes = 1 << 20;

// "%Internal_Networks%" is the placeholder "internal-networks".
std::string PlaceholderId(std::string_view name) {
  if (name.size() > 2 && name.front() == '%' && name.back() == '%') {
    name = name.substr(1, name.size() - 2);
  }
  std::string id = ToLower(name);
  for (char& c : id) {
    if ((c < 'a' || c > 'z') && (c < '0' || c > '9')) c = '-';
  }
  return id;
}

void AddPlaceholderSet(Program& program, CLI::App& group) {
  struct Options {
    std::string name;
    std::string tenant;
    std::vector<std::string> values;
    std::string file;
    std::string description;
  };
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand(
      "set",
      "Say what a placeholder stands for, in place of what it stood for. Rules that name it are in "
      "force once all their placeholders have values");
  command
      .add_option("name", options->name,
                  "As rules name it, \"%Internal_Networks%\", or its id, \"internal-networks\"")
      ->required();
  command
      .add_option("--tenant", options->tenant,
                  "Tenant id; \"provider\" is for all tenants without values of their own")
      ->required();
  command.add_option("--value", options->values, "A value; may come again. * and ? are wildcards");
  command.add_option("--file", options->file,
                     "File with a value on each line; - is standard input");
  command.add_option("--description", options->description, "What it is, for people");
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    detection::v1::UpdatePlaceholderRequest request;
    auto& placeholder = *request.mutable_placeholder();
    placeholder.set_name(
        ResourceName(options->tenant, "placeholders", PlaceholderId(options->name)));
    placeholder.set_description(options->description);
    for (const auto& value : options->values) placeholder.add_values(value);
    if (!options->file.empty()) {
      YAGURA_ASSIGN_OR_RETURN(const auto lines, ReadText(options->file, kMaxValuesBytes));
      for (const auto line : Split(lines, '\n')) {
        if (!Trim(line).empty()) placeholder.add_values(std::string(Trim(line)));
      }
    }
    request.set_allow_missing(true);
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(const auto set,
                            client.Call(&DetectionService::Stub::UpdatePlaceholder, request));
    program.Print(set);
    return absl::OkStatus();
  });
}

struct TuningOptions {
  std::string rule;
  std::string tenant;
  bool on = false;
  bool off = false;
  std::string severity;
  std::optional<double> count;
  std::string timespan;
  std::string correlation;
  std::string reason;
};

absl::StatusOr<detection::v1::UpdateRuleTuningRequest> TuningRequest(const TuningOptions& options) {
  detection::v1::UpdateRuleTuningRequest request;
  auto& tuning = *request.mutable_rule_tuning();
  tuning.set_name(ResourceName(options.tenant, "ruleTunings", ToLower(options.rule)));
  if (options.on) tuning.set_match(detection::v1::RuleTuning::ON);
  if (options.off) tuning.set_match(detection::v1::RuleTuning::OFF);
  if (!options.severity.empty()) {
    event::v1::Severity severity{};
    if (!event::v1::Severity_Parse(ToUpper(options.severity), &severity)) {
      return InvalidField("severity", "is not a severity");
    }
    tuning.set_severity(severity);
  }
  if (options.count) tuning.set_count(*options.count);
  if (!options.timespan.empty()) {
    const auto timespan = config::ParseDuration(options.timespan);
    if (!timespan) return InvalidField("timespan", "is not a time like 90s, 5m or 1h");
    tuning.mutable_timespan()->set_seconds(timespan->count() / 1000);
  }
  tuning.set_correlation(ToLower(options.correlation));
  tuning.set_reason(options.reason);
  request.set_allow_missing(true);
  SetRequestId(request);
  return request;
}

void AddTuningSet(Program& program, CLI::App& group) {
  auto options = std::make_shared<TuningOptions>();
  CLI::App& command = *group.add_subcommand(
      "set",
      "Say what was agreed with a tenant about a rule, in place of what was agreed before; what is "
      "not given is as the rule says");
  command.add_option("rule", options->rule, "Sigma id of the rule")->required();
  command.add_option("--tenant", options->tenant, "Tenant id; \"provider\" is for all others")
      ->required();
  auto* on =
      command.add_flag("--on", options->on, "Match it, even where it is disabled for others");
  command.add_flag("--off", options->off, "Do not match it for this tenant")->excludes(on);
  command.add_option("--severity", options->severity,
                     "INFORMATIONAL, LOW, MEDIUM, HIGH or CRITICAL");
  command.add_option("--count", options->count, "The number of the correlation's condition");
  command.add_option("--timespan", options->timespan, "The correlation's time span, like 5m");
  command.add_option("--correlation", options->correlation,
                     "Sigma id of the correlation meant, where the rule has several");
  command.add_option("--reason", options->reason, "Who agreed to it, when and why");
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    YAGURA_ASSIGN_OR_RETURN(const auto request, TuningRequest(*options));
    YAGURA_ASSIGN_OR_RETURN(const auto set,
                            client.Call(&DetectionService::Stub::UpdateRuleTuning, request));
    program.Print(set);
    return absl::OkStatus();
  });
}

}  // namespace

void AddTuningCommands(Program& program) {
  CLI::App& placeholder =
      program.Group("placeholder", "What %names% in rules stand for: networks, servers, people");
  AddList(program, placeholder, "Placeholders",
          {{"VALUES", "values", 60}, {"DESCRIPTION", "description", 40}, {"NAME", "name", 80}},
          &DetectionService::Stub::ListPlaceholders);
  AddNamed(program, placeholder, "get", "One placeholder", "placeholders", {},
           &DetectionService::Stub::GetPlaceholder);
  AddPlaceholderSet(program, placeholder);
  AddNamed(program, placeholder, "delete",
           "Remove a placeholder; rules that name it are not in force any more", "placeholders", {},
           &DetectionService::Stub::DeletePlaceholder);

  CLI::App& tuning = program.Group("tuning", "What was agreed with tenants about rules");
  AddList(program, tuning, "What was agreed, the latest first",
          {{"TITLE", "title", 50},
           {"STATE", "state"},
           {"UNTIL", "mute_expire_time"},
           {"MATCH", "match"},
           {"SEVERITY", "severity"},
           {"COUNT", "count"},
           {"TIMESPAN", "timespan"},
           {"REASON", "reason", 40},
           {"NAME", "name", 80}},
          &DetectionService::Stub::ListRuleTunings);
  AddNamed(program, tuning, "get", "What was agreed about one rule", "ruleTunings", {},
           &DetectionService::Stub::GetRuleTuning);
  AddTuningSet(program, tuning);
  AddNamed(program, tuning, "delete", "Forget it: the rule is what its text says again",
           "ruleTunings", {}, &DetectionService::Stub::DeleteRuleTuning);
}

}  // namespace yagura::cli
