#include "cli/commands/command.h"
#include "cli/commands/rule_reads.h"
#include "cli/time_range.h"
#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/text/text.h"
#include "yagura/detection/v1/detection_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using detection::v1::DetectionService;

void AddSwitch(Program& program, CLI::App& group, const std::string& verb, bool enabled,
               const std::string& help) {
  CLI::App& command = *group.add_subcommand(verb, help);
  auto options = AddNamedOptions(command, "rules", {}, true);
  program.DoConnected(command, [&program, options, enabled](Client& client) -> absl::Status {
    detection::v1::UpdateRuleRequest request;
    request.mutable_rule()->set_name(ResourceName(options->tenant, "rules", options->resource));
    request.mutable_rule()->set_etag(options->etag);
    request.mutable_rule()->set_enabled(enabled);
    request.mutable_update_mask()->add_paths("enabled");
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(const auto rule,
                            client.Call(&DetectionService::Stub::UpdateRule, request));
    program.Print(rule);
    return absl::OkStatus();
  });
}

absl::Status CallSetState(Program& program, Client& client,
                          const detection::v1::SetRuleStateRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(const auto rule,
                          client.Call(&DetectionService::Stub::SetRuleState, request));
  program.Print(rule);
  return absl::OkStatus();
}

void AddSetState(Program& program, CLI::App& group) {
  struct Options {
    std::string state;
    std::string reason;
  };
  CLI::App& command = *group.add_subcommand(
      "set-state",
      "Bring a rule to another state: DRAFT, TEST (matched, findings kept, nobody told), ACTIVE or "
      "RETIRED. A provider's rule under --tenant changes for that tenant alone");
  auto named = AddNamedOptions(command, "rules", {}, true);
  auto options = std::make_shared<Options>();
  command.add_option("state", options->state, "DRAFT, TEST, ACTIVE or RETIRED")->required();
  command.add_option("--reason", options->reason, "Why");
  program.DoConnected(command, [&program, named, options](Client& client) -> absl::Status {
    detection::v1::SetRuleStateRequest request;
    request.set_name(ResourceName(named->tenant, "rules", named->resource));
    request.set_etag(named->etag);
    detection::v1::RuleState state{};
    if (!detection::v1::RuleState_Parse(ToUpper(options->state), &state) ||
        state == detection::v1::MUTED) {
      return InvalidField("state", "is not one of DRAFT, TEST, ACTIVE, RETIRED");
    }
    request.set_state(state);
    request.set_reason(options->reason);
    SetRequestId(request);
    return CallSetState(program, client, request);
  });
}

void AddMute(Program& program, CLI::App& group) {
  struct Options {
    std::string span;
    std::string reason;
  };
  CLI::App& command = *group.add_subcommand(
      "mute",
      "Tell nobody what a rule finds, for a time; then it is ACTIVE again by itself. What it finds "
      "is kept");
  auto named = AddNamedOptions(command, "rules", {}, true);
  auto options = std::make_shared<Options>();
  command.add_option("--for", options->span, "How long: 30m, 8h, 14d; at most 90d")->required();
  command.add_option("--reason", options->reason, "Why")->required();
  program.DoConnected(command, [&program, named, options](Client& client) -> absl::Status {
    detection::v1::SetRuleStateRequest request;
    request.set_name(ResourceName(named->tenant, "rules", named->resource));
    request.set_etag(named->etag);
    request.set_state(detection::v1::MUTED);
    YAGURA_ASSIGN_OR_RETURN(const auto span, ParseSpan(options->span));
    *request.mutable_mute_expire_time() = ToProto(SystemClock()->Now() + span);
    request.set_reason(options->reason);
    SetRequestId(request);
    return CallSetState(program, client, request);
  });
}

}  // namespace

void AddDetectionCommands(Program& program) {
  CLI::App& finding = program.Group("finding", "What the rules found");
  AddList(program, finding, "Findings, the latest first",
          {{"TIME", "create_time"},
           {"SEVERITY", "severity"},
           {"IMPACT", "impact.level"},
           {"TITLE", "title"},
           {"EVENTS", "event_count"},
           {"DEVICE", "device"},
           {"ENTITIES", "entities.value", 50},
           {"NAME", "name", 80}},
          &DetectionService::Stub::ListFindings);
  AddNamed(program, finding, "get", "One finding with its evidence", "findings", {},
           &DetectionService::Stub::GetFinding);

  CLI::App& letter = program.Group("dead-letter", "What could not be processed and was put aside");
  AddList(program, letter, "Dead letters, the latest first",
          {{"TIME", "create_time"},
           {"READER", "reader"},
           {"EVENT", "key", 40},
           {"ERROR", "error", 80},
           {"BYTES", "payload_bytes"},
           {"NAME", "name", 80}},
          &DetectionService::Stub::ListDeadLetters);
  AddNamed(program, letter, "get", "One dead letter with its events", "deadLetters", {},
           &DetectionService::Stub::GetDeadLetter);
  AddNamed(program, letter, "delete", "Remove a dead letter for good", "deadLetters", {},
           &DetectionService::Stub::DeleteDeadLetter);

  CLI::App& rule = program.Group("rule", "Sigma rules");
  AddRuleReads(program, rule);
  AddNamed(program, rule, "delete", "Remove a rule; what it has found stays", "rules", {},
           &DetectionService::Stub::DeleteRule);
  AddSwitch(program, rule, "enable", true, "Match events against a rule again");
  AddSwitch(program, rule, "disable", false, "Stop matching events against a rule");
  AddSetState(program, rule);
  AddMute(program, rule);
  AddRuleCoverage(program, rule);
}

}  // namespace yagura::cli
