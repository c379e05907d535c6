#include "cli/commands/command.h"
#include "cli/time_range.h"
#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "yagura/coverage/v1/coverage_service.grpc.pb.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using coverage::v1::CoverageService;
using coverage::v1::ListCoverageRequest;
using directory::v1::DirectoryService;

struct Options {
  ListOptions list;
  std::string tenant;
  std::string since = "24h";
  std::string until = "now";
  std::string source;
  bool by_days = false;
};

void AddOptions(CLI::App& command, Options& options) {
  command.add_option("--tenant", options.tenant, "Tenant id; without it all that you may see");
  command.add_option("--since,--from", options.since, "Received since: a time, or 24h, 7d ago")
      ->capture_default_str();
  command.add_option("--until,--to", options.until, "Received before")->capture_default_str();
  command.add_option("--filter", options.list.filter,
                     "AIP-160 over the fields of Coverage: 'lost_count > 0', "
                     "'silent_minutes > 60'");
  command.add_option("--limit", options.list.limit, "Most rows to print")->capture_default_str();
}

// How many rows were printed.
absl::StatusOr<size_t> List(Program& program, Client& client, Options options,
                            coverage::v1::Period period, std::vector<TableColumn> columns) {
  size_t rows = 0;
  const TimePoint now = SystemClock()->Now();
  YAGURA_ASSIGN_OR_RETURN(const TimePoint since, ParseWhen(options.since, now));
  YAGURA_ASSIGN_OR_RETURN(const TimePoint until, ParseWhen(options.until, now));
  options.list.parent = TenantParent(options.tenant);
  for (TableColumn column : std::vector<TableColumn>{{"LINES", "line_count"},
                                                     {"LOST", "lost_count"},
                                                     {"KERNEL DROPS", "kernel_drop_count"},
                                                     {"UNPARSED", "unparsed_count"},
                                                     {"SILENT MIN", "silent_minutes"},
                                                     {"UNWATCHED MIN", "unwatched_minutes"},
                                                     {"CLOCK OFFSET", "clock_offset"},
                                                     {"CLOCK ERRORS", "clock_error_count"},
                                                     {"LAST", "last_receive_time"}}) {
    columns.push_back(std::move(column));
  }
  YAGURA_RETURN_IF_ERROR(
      PrintPages(options.list, program.format(), std::move(columns),
                 [&](const std::function<void(google::protobuf::Message&)>& fill)
                     -> absl::StatusOr<std::unique_ptr<google::protobuf::Message>> {
                   ListCoverageRequest request;
                   fill(request);
                   *request.mutable_range()->mutable_start_time() = ToProto(since);
                   *request.mutable_range()->mutable_end_time() = ToProto(until);
                   request.set_period(period);
                   YAGURA_ASSIGN_OR_RETURN(
                       auto response, client.Call(&CoverageService::Stub::ListCoverage, request));
                   rows += static_cast<size_t>(response.coverages_size());
                   return std::make_unique<coverage::v1::ListCoverageResponse>(std::move(response));
                 }));
  return rows;
}

// NOT_FOUND where the directory says that no tenant of `parent` has the source.
absl::Status CheckSource(Client& client, const std::string& parent, const std::string& source) {
  directory::v1::ListSourcesRequest request;
  request.set_parent(parent);
  request.set_page_size(1000);
  const std::string end = "/sources/" + source;
  do {
    const auto page = client.Call(&DirectoryService::Stub::ListSources, request);
    if (!page.ok()) return absl::OkStatus();  // who may not ask is told nothing
    for (const auto& one : page->sources()) {
      if (one.name().ends_with(end)) return absl::OkStatus();
    }
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return MakeError(
      absl::StatusCode::kNotFound, "SOURCE_UNKNOWN",
      fmt::format("there is no source \"{}\", and none was told of in the range", source));
}

void AddListCommand(Program& program, CLI::App& group) {
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand(
      "list", "Of each source what was received, what was lost and when nothing came");
  AddOptions(command, *options);
  program.DoConnected(command, [&program, options](Client& client) {
    return List(program, client, *options, coverage::v1::RANGE,
                {{"TENANT", "tenant"},
                 {"SOURCE", "source"},
                 {"SITE", "site"},
                 {"DEVICE", "device"},
                 {"HOURS", "hours_with_lines"}})
        .status();
  });
}

void AddShowCommand(Program& program, CLI::App& group) {
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand("show", "One source hour by hour");
  command.add_option("source", options->source, "Source id, or tenants/T/sources/S")->required();
  command.add_flag("--days", options->by_days, "Day by day, UTC");
  AddOptions(command, *options);
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    Options asked = *options;
    const size_t slash = asked.source.rfind('/');
    if (slash != std::string::npos) {
      constexpr std::string_view kPrefix = "tenants/";
      if (asked.source.starts_with(kPrefix)) {
        asked.tenant = asked.source.substr(kPrefix.size(),
                                           asked.source.find('/', kPrefix.size()) - kPrefix.size());
      }
      asked.source = asked.source.substr(slash + 1);
    }
    std::string filter = fmt::format("source = \"{}\"", asked.source);
    if (!asked.list.filter.empty()) filter += fmt::format(" AND ({})", asked.list.filter);
    asked.list.filter = filter;
    YAGURA_ASSIGN_OR_RETURN(
        const size_t rows,
        List(program, client, asked, asked.by_days ? coverage::v1::DAY : coverage::v1::HOUR,
             {{"TENANT", "tenant"},
              {"SOURCE", "source"},
              {"SITE", "site"},
              {"FROM", "start_time"}}));
    if (rows > 0 || !options->list.filter.empty() || asked.source.empty()) return absl::OkStatus();
    return CheckSource(client, TenantParent(asked.tenant), asked.source);
  });
}

}  // namespace

void AddCoverageCommands(Program& program) {
  CLI::App& group = program.Group("coverage", "On how complete logs an answer stands");
  AddListCommand(program, group);
  AddShowCommand(program, group);
}

}  // namespace yagura::cli
