#include "cli/commands/event_range.h"
#include "fmt/format.h"

#include "common/text/text.h"
#include "yagura/archive/v1/archive_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using archive::v1::ArchiveService;

constexpr char kFlowFilterHelp[] =
    "AIP-160 filter over flows: 'src_ip = 10.0.0.0/8 AND dst_port = 445 AND verdict = ALLOWED'";

struct FlowOptions {
  RangeOptions range;
  std::vector<std::string> by;
  std::string order_by;
  int limit = 100;
};

absl::Status PrintFlows(Program& program, Client& client, const FlowOptions& options,
                        std::vector<TableColumn> columns) {
  constexpr int kMostAtOnce = 10'000;
  archive::v1::ListFlowsRequest request;
  YAGURA_RETURN_IF_ERROR(FillRange(options.range, request));
  for (const auto& name : options.by) request.add_group_by(name);
  request.set_order_by(options.order_by);
  Renderer renderer(program.format(), std::move(columns));
  int left = options.limit;
  do {
    request.set_page_size(std::min(left, kMostAtOnce));
    YAGURA_ASSIGN_OR_RETURN(const auto response,
                            client.Call(&ArchiveService::Stub::ListFlows, request));
    for (const auto& flow : response.flows()) renderer.Add(flow);
    left -= response.flows_size();
    Write(renderer.Flush());
    request.set_page_token(response.next_page_token());
  } while (left > 0 && !request.page_token().empty());
  Write(renderer.Finish());
  return absl::OkStatus();
}

void AddFlowOptions(CLI::App& command, FlowOptions& options) {
  options.range.since = "7d";
  AddRangeOptions(command, options.range, kFlowFilterHelp);
  command.add_option("--order-by", options.order_by,
                     "bytes, event_count, flow_count, first_time or last_time, also with "
                     "\" desc\"; \"bytes desc\" if not given");
  command.add_option("--limit", options.limit, "Most rows to print")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
}

const std::vector<TableColumn> kNumbers = {{"EVENTS", "event_count"},
                                           {"BYTES OUT", "bytes_out"},
                                           {"BYTES IN", "bytes_in"},
                                           {"FIRST", "first_time"},
                                           {"LAST", "last_time"}};

}  // namespace

void AddFlowCommands(Program& program) {
  CLI::App& group = program.Group("flow", "Who talked to whom, by whole days (UTC)");
  CLI::App& list = *group.add_subcommand("list", "Flows: source, destination, port, verdict");
  auto list_options = std::make_shared<FlowOptions>();
  AddFlowOptions(list, *list_options);
  program.DoConnected(list, [&program, list_options](Client& client) {
    std::vector<TableColumn> columns = {{"TENANT", "tenant"},     {"SITE", "site"},
                                        {"SOURCE", "src_ip"},     {"DESTINATION", "dst_ip"},
                                        {"PROTOCOL", "protocol"}, {"PORT", "dst_port"},
                                        {"VERDICT", "verdict"}};
    columns.insert(columns.end(), kNumbers.begin(), kNumbers.end());
    return PrintFlows(program, client, *list_options, std::move(columns));
  });

  CLI::App& top = *group.add_subcommand("top", "The greatest sums of flows, by sources or others");
  auto top_options = std::make_shared<FlowOptions>();
  top_options->limit = 10;
  top_options->by = {"src_ip"};
  AddFlowOptions(top, *top_options);
  top.add_option("--by", top_options->by,
                 "tenant, site, src_ip, dst_ip, protocol, dst_port, verdict, with commas")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  program.DoConnected(top, [&program, top_options](Client& client) {
    std::vector<TableColumn> columns;
    for (const auto& name : top_options->by) columns.push_back({ToUpper(name), name});
    columns.push_back({"FLOWS", "flow_count"});
    columns.insert(columns.end(), kNumbers.begin(), kNumbers.end());
    return PrintFlows(program, client, *top_options, std::move(columns));
  });
}

}  // namespace yagura::cli
