#include "cli/commands/command.h"
#include "fmt/format.h"

#include "yagura/detection/v1/detection_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using detection::v1::DetectionService;

struct Options {
  ListOptions list;
  std::string tenant;
  int days = 7;
  bool by_technique = false;
};

// Pages of one of the two lists.
template <typename Request, typename Response>
absl::Status PrintCoverage(
    Program& program, Client& client, const Options& options, std::vector<TableColumn> columns,
    grpc::Status (DetectionService::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
    const std::function<void(const Response&)>& note) {
  return PrintPages(options.list, program.format(), std::move(columns),
                    [&](const std::function<void(google::protobuf::Message&)>& fill)
                        -> absl::StatusOr<std::unique_ptr<google::protobuf::Message>> {
                      Request request;
                      fill(request);
                      request.set_days(options.days);
                      YAGURA_ASSIGN_OR_RETURN(auto response, client.Call(method, request));
                      note(response);
                      return std::make_unique<Response>(std::move(response));
                    });
}

absl::Status Run(Program& program, Client& client, Options options) {
  options.list.parent = TenantParent(options.tenant);
  if (options.by_technique) {
    return PrintCoverage<detection::v1::ListTechniqueCoverageRequest,
                         detection::v1::ListTechniqueCoverageResponse>(
        program, client, options,
        {{"TECHNIQUE", "technique"},
         {"LEVEL", "level"},
         {"RULES", "rule_count"},
         {"COVERED", "covered_count"},
         {"PARTLY", "partly_count"},
         {"NO SOURCE", "no_source_count"}},
        &DetectionService::Stub::ListTechniqueCoverage, [](const auto&) {});
  }
  detection::v1::ListRuleCoverageResponse last;
  YAGURA_RETURN_IF_ERROR((PrintCoverage<detection::v1::ListRuleCoverageRequest,
                                        detection::v1::ListRuleCoverageResponse>(
      program, client, options,
      {{"TITLE", "title", 50},
       {"SEVERITY", "severity"},
       {"LEVEL", "level"},
       {"EVENTS", "event_count"},
       {"WHY", "reasons", 100},
       {"RULE", "rule", 80}},
      &DetectionService::Stub::ListRuleCoverage, [&last](const auto& response) {
        last = response;
        last.clear_rule_coverages();
      })));
  if (program.format() == Format::kTable) {
    Write(
        fmt::format("{} rules may match, {} lack fields, {} have no log source ({} events in {} "
                    "days)\n",
                    last.covered_count(), last.partly_count(), last.no_source_count(),
                    last.event_count(), options.days));
  }
  return absl::OkStatus();
}

}  // namespace

void AddRuleCoverage(Program& program, CLI::App& group) {
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand(
      "coverage", "Which rules in force can match at all with the logs that a tenant sends");
  command.add_option("--tenant", options->tenant, "Tenant id")->required();
  command.add_option("--days", options->days, "How many days up to now are looked at, 1 to 90")
      ->capture_default_str();
  command.add_flag("--by-technique", options->by_technique, "A row for each ATT&CK technique");
  command.add_option("--filter", options->list.filter,
                     "AIP-160 over the fields of RuleCoverage: 'level < COVERED AND severity >= "
                     "HIGH'; with --by-technique over those of TechniqueCoverage");
  command.add_option("--limit", options->list.limit, "Most rows to print")->capture_default_str();
  program.DoConnected(
      command, [&program, options](Client& client) { return Run(program, client, *options); });
}

}  // namespace yagura::cli
