#include <filesystem>
#include <iostream>

#include "cli/commands/command.h"
#include "cli/commands/rule_reads.h"
#include "cli/event_json.h"
#include "cli/time_range.h"
#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/text/text.h"
#include "yagura/detection/v1/detection_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using detection::v1::DetectionService;

constexpr size_t kMaxRuleBytes = 256 * 1024;
constexpr int kMaxRulesPerCall = 500;
constexpr size_t kMaxBytesPerCall = 2 << 20;

// Rule files below a folder, or the file itself, in order of name.
std::vector<std::filesystem::path> RuleFiles(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return {path};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    const auto extension = entry.path().extension();
    if (entry.is_regular_file() && (extension == ".yml" || extension == ".yaml")) {
      files.push_back(entry.path());
    }
  }
  std::ranges::sort(files);
  return files;
}

struct ImportOptions {
  std::string tenant = "provider";
  std::vector<std::string> paths;
  bool dry_run = false;
};

// Sends rule files in calls of a bearable size, and tells what became of each.
class RuleImport {
 public:
  RuleImport(Client& client, const ImportOptions& options, Format format)
      : client_(client),
        options_(options),
        format_(format),
        renderer_(format, {{"FILE", "source", 70},
                           {"RULE", "rule", 80},
                           {"LINE", "line"},
                           {"REFUSED BECAUSE", "reason", 100}}) {}

  absl::Status Run() {
    for (const auto& path : options_.paths) {
      for (auto& file : RuleFiles(path)) files_.push_back(std::move(file));
    }
    while (next_ < files_.size()) {
      YAGURA_RETURN_IF_ERROR(SendSome());
      if (isatty(STDERR_FILENO) != 0) {
        std::cerr << fmt::format("\r{}/{} files", next_, files_.size()) << std::flush;
      }
    }
    if (isatty(STDERR_FILENO) != 0) std::cerr << "\r\x1b[K";
    return Tell();
  }

 private:
  absl::Status SendSome() {
    detection::v1::ImportRulesRequest request;
    request.set_parent(TenantParent(options_.tenant));
    request.set_validate_only(options_.dry_run);
    SetRequestId(request);
    for (size_t bytes = 0; next_ < files_.size() && request.rules_size() < kMaxRulesPerCall &&
                           bytes < kMaxBytesPerCall;
         ++next_) {
      const std::string source = files_[next_].string();
      auto text = ReadText(source, kMaxRuleBytes);
      if (!text.ok()) {  // the others shall not wait for it
        detection::v1::ImportResult result;
        result.set_source(source);
        result.set_reason(std::string(Message(text.status())));
        ++refused_;
        renderer_.Add(result);
        continue;
      }
      bytes += text->size();
      auto& rule = *request.add_rules();
      rule.set_source(source);
      rule.set_text(*std::move(text));
    }
    if (request.rules().empty()) return absl::OkStatus();
    YAGURA_ASSIGN_OR_RETURN(const auto response,
                            client_.Call(&DetectionService::Stub::ImportRules, request));
    loaded_ += response.loaded();
    refused_ += response.refused();
    for (const auto& result : response.results()) {
      if (!result.reason().empty() || format_ != Format::kTable) renderer_.Add(result);
    }
    return absl::OkStatus();
  }

  absl::Status Tell() {
    if (renderer_.rows() > 0) Write(renderer_.Finish());
    if (format_ == Format::kTable) {
      Write(fmt::format("{} rules {}, {} refused\n", loaded_,
                        options_.dry_run ? "would be loaded" : "loaded", refused_));
    }
    return refused_ == 0 ? absl::OkStatus()
                         : MakeError(absl::StatusCode::kAborted, "IMPORT_INCOMPLETE",
                                     fmt::format("{} rules were refused", refused_));
  }

  Client& client_;
  const ImportOptions& options_;
  const Format format_;
  Renderer renderer_;
  std::vector<std::filesystem::path> files_;
  size_t next_ = 0;
  int loaded_ = 0;
  int refused_ = 0;
};

void AddImport(Program& program, CLI::App& group) {
  auto options = std::make_shared<ImportOptions>();
  CLI::App& command = *group.add_subcommand(
      "import", "Load Sigma rules from files and folders; fails where any is refused");
  command.add_option("path", options->paths, "Files, or folders with *.yml")->required();
  command.add_option("--tenant", options->tenant, "Tenant id; \"provider\" is for all tenants")
      ->capture_default_str();
  command.add_flag("--dry-run", options->dry_run, "Tell what would happen and keep nothing");
  program.DoConnected(command, [&program, options](Client& client) {
    return RuleImport(client, *options, program.format()).Run();
  });
}

void AddTest(Program& program, CLI::App& group) {
  struct Options {
    std::string tenant = "provider";
    std::string rule;
    std::string events = "-";
  };
  auto options = std::make_shared<Options>();
  CLI::App& command =
      *group.add_subcommand("test",
                            "Try a rule on events; keeps nothing. An event is a JSON object on one "
                            "line: what `event search -o jsonl` writes, or an object of original "
                            "fields, {\"dstport\": \"22\", ...}");
  command.add_option("rule", options->rule, "File with the Sigma rule")->required();
  command
      .add_option("events", options->events,
                  "File with the events, JSON lines; - is standard input")
      ->capture_default_str();
  command.add_option("--tenant", options->tenant, "On whose behalf")->capture_default_str();
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    constexpr size_t kMaxEventBytes = 12 << 20;
    detection::v1::TestRuleRequest request;
    request.set_parent(TenantParent(options->tenant));
    YAGURA_ASSIGN_OR_RETURN(*request.mutable_text(), ReadText(options->rule, kMaxRuleBytes));
    YAGURA_ASSIGN_OR_RETURN(const auto lines, ReadText(options->events, kMaxEventBytes));
    int number = 0;
    for (const auto line : Split(lines, '\n')) {
      ++number;
      if (Trim(line).empty()) continue;
      if (!ReadEvent(line, *request.add_events()).ok()) {
        return InvalidField("events", fmt::format("line {} is not a JSON object", number));
      }
    }
    YAGURA_ASSIGN_OR_RETURN(const auto response,
                            client.Call(&DetectionService::Stub::TestRule, request));
    Renderer renderer(program.format(), {{"TITLE", "title"},
                                         {"SEVERITY", "severity"},
                                         {"EVENTS", "event_count"},
                                         {"MATCHED", "matched_fields", 100}});
    for (const auto& finding : response.findings()) renderer.Add(finding);
    Write(renderer.Finish());
    if (program.format() == Format::kTable) {
      Write(fmt::format("{} of {} events matched, {} findings\n", response.matches_size(),
                        request.events_size(), response.findings_size()));
    }
    return absl::OkStatus();
  });
}

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
  AddImport(program, rule);
  AddTest(program, rule);
  AddRuleCoverage(program, rule);
}

}  // namespace yagura::cli
