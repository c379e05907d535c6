#include <unistd.h>

#include <iostream>

#include "cli/commands/command.h"
#include "cli/commands/event_range.h"
#include "cli/time_range.h"
#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/json/message_json.h"
#include "common/text/text.h"
#include "yagura/archive/v1/archive_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using archive::v1::ArchiveService;

const std::vector<TableColumn> kEventColumns = {
    {"TIME", "event_time"}, {"TENANT", "tenant"}, {"DEVICE", "device"},
    {"ACTION", "action"},   {"SOURCE", "src.ip"}, {"DESTINATION", "dst.ip"},
    {"PORT", "dst.port"},   {"RULE", "rule"},     {"SIGNATURE", "signature", 40},
    {"RAW", "raw", 80}};

// A column for each path of a group, its count, and which part of all that is.
std::vector<TableColumn> CountColumns(const google::protobuf::RepeatedPtrField<std::string>& paths,
                                      uint64_t total) {
  constexpr double kPercent = 100;
  std::vector<TableColumn> columns;
  for (int i = 0; i < paths.size(); ++i) {
    columns.push_back({ToUpper(paths[i]), "", 60, [i](const google::protobuf::Message& row) {
                         return EscapeForTerminal(
                             static_cast<const archive::v1::EventGroup&>(row).values(i));
                       }});
  }
  columns.push_back({"COUNT", "count"});
  columns.push_back({"SHARE", "", 60, [total](const google::protobuf::Message& row) {
                       const auto count = static_cast<const archive::v1::EventGroup&>(row).count();
                       return fmt::format("{:.1f} %", total == 0
                                                          ? 0.0
                                                          : kPercent * static_cast<double>(count) /
                                                                static_cast<double>(total));
                     }});
  return columns;
}

// How far a search is, on standard error where that is a terminal; gone once events come.
class SearchProgressLine {
 public:
  ~SearchProgressLine() { Clear(); }
  void Show(const archive::v1::SearchEventsResponse& response) {
    Clear();
    if (!response.has_progress() || isatty(STDERR_FILENO) == 0) return;
    constexpr double kMega = 1e6;
    const auto& progress = response.progress();
    std::cerr << fmt::format("{:.1f} of about {:.1f} million events, {:.0f} MB read",
                             static_cast<double>(progress.rows_read()) / kMega,
                             static_cast<double>(progress.total_rows_estimate()) / kMega,
                             static_cast<double>(progress.bytes_read()) / kMega)
              << std::flush;
    shown_ = true;
  }

 private:
  void Clear() {
    if (shown_) std::cerr << "\r\x1b[K" << std::flush;
    shown_ = false;
  }
  bool shown_ = false;
};

void AddSearch(Program& program, CLI::App& group) {
  struct Options {
    RangeOptions range;
    bool oldest_first = false;
    int limit = 100;
  };
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand("search", "Events that match, the newest first");
  AddRangeOptions(command, options->range);
  AddHappenedOption(command, options->range);
  command.add_flag("--oldest-first", options->oldest_first, "In order of receipt");
  command.add_option("--limit", options->limit, "Most events to print")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    archive::v1::SearchEventsRequest request;
    YAGURA_RETURN_IF_ERROR(FillRange(options->range, request));
    request.set_order_by(options->oldest_first ? "receive_time" : "receive_time desc");
    Renderer renderer(program.format(), kEventColumns);
    SearchProgressLine progress;
    int left = options->limit;
    std::string notes;
    absl::Status status;
    do {
      constexpr int kMostAtOnce = 10'000;
      request.set_page_size(std::min(left, kMostAtOnce));
      std::string next;
      status = client.ReadStream(&ArchiveService::Stub::SearchEvents, request, false,
                                 [&](const archive::v1::SearchEventsResponse& response) {
                                   progress.Show(response);
                                   for (const auto& event : response.events()) renderer.Add(event);
                                   left -= response.events_size();
                                   Write(renderer.Flush());
                                   next = response.next_page_token();
                                   if (response.has_coverage())
                                     notes = CoverageNotes(response.coverage());
                                   return true;
                                 });
      request.set_page_token(next);
    } while (status.ok() && left > 0 && !request.page_token().empty());
    if (status.ok() || renderer.rows() > 0) Write(renderer.Finish());
    std::cerr << notes;
    return status;
  });
}

void AddCount(Program& program, CLI::App& group) {
  struct Options {
    RangeOptions range;
    std::vector<std::string> by;
    int limit = 10;
    bool skip_missing = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App& command =
      *group.add_subcommand("count", "How many events match, by groups with --by (top values)");
  AddRangeOptions(command, options->range);
  AddHappenedOption(command, options->range);
  command.add_option("--by", options->by, "Up to 4 names to group by: src.ip, fields.attack, ...")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_option("--limit", options->limit, "Most groups")->capture_default_str();
  command.add_flag("--skip-missing", options->skip_missing, "Leave out groups without a value");
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    archive::v1::CountEventsRequest request;
    YAGURA_RETURN_IF_ERROR(FillRange(options->range, request));
    for (const auto& name : options->by) request.add_group_by(name);
    request.set_limit(options->limit);
    request.set_skip_missing(options->skip_missing);
    YAGURA_ASSIGN_OR_RETURN(const auto response,
                            client.Call(&ArchiveService::Stub::CountEvents, request));
    if (program.format() != Format::kTable) {
      Write(MessageToJson(response) + "\n");
      std::cerr << CoverageNotes(response.coverage());
      return absl::OkStatus();
    }
    if (!options->by.empty()) {
      Renderer renderer(Format::kTable,
                        {{ToUpper(Join(options->by, ", ")), "values", 100}, {"COUNT", "count"}});
      for (const auto& row : response.groups()) renderer.Add(row);
      Write(renderer.Finish());
    }
    Write(fmt::format("{} events{}\n", response.total(),
                      response.truncated() ? ", more groups than shown" : ""));
    std::cerr << CoverageNotes(response.coverage());
    return absl::OkStatus();
  });
}

void AddTop(Program& program, CLI::App& group) {
  struct Options {
    RangeOptions range;
    std::string by;
    int limit = 10;
  };
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand("top", "The most frequent values, counted exactly");
  command
      .add_option("paths", options->by, "Up to 4 names, with commas: src.ip,dst.port,fields.attack")
      ->required();
  AddRangeOptions(command, options->range);
  AddHappenedOption(command, options->range);
  command.add_option("--limit", options->limit, "How many")->capture_default_str();
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    archive::v1::CountEventsRequest request;
    YAGURA_RETURN_IF_ERROR(FillRange(options->range, request));
    for (const std::string_view name : Split(options->by, ',')) {
      request.add_group_by(std::string(Trim(name)));
    }
    request.set_limit(options->limit);
    request.set_skip_missing(true);
    YAGURA_ASSIGN_OR_RETURN(const auto response,
                            client.Call(&ArchiveService::Stub::CountEvents, request));
    Renderer renderer(program.format(), CountColumns(request.group_by(), response.total()));
    for (const auto& row : response.groups()) renderer.Add(row);
    Write(renderer.Finish());
    std::cerr << CoverageNotes(response.coverage());
    return absl::OkStatus();
  });
}

void AddHistogram(Program& program, CLI::App& group) {
  constexpr int64_t kMostBucketSeconds = 366LL * 24 * 3600;
  struct Options {
    RangeOptions range;
    int64_t interval_seconds = 0;
  };
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand("histogram", "How many events match, over time");
  AddRangeOptions(command, options->range);
  AddHappenedOption(command, options->range);
  command
      .add_option("--interval", options->interval_seconds, "Seconds a bucket; 0: a fitting width")
      ->check(CLI::Range(int64_t{0}, kMostBucketSeconds));
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    archive::v1::GetHistogramRequest request;
    YAGURA_RETURN_IF_ERROR(FillRange(options->range, request));
    if (options->interval_seconds > 0) {
      request.mutable_interval()->set_seconds(options->interval_seconds);
    }
    YAGURA_ASSIGN_OR_RETURN(const auto response,
                            client.Call(&ArchiveService::Stub::GetHistogram, request));
    Renderer renderer(program.format(), {{"FROM", "start_time"}, {"COUNT", "count"}});
    for (const auto& bucket : response.buckets()) renderer.Add(bucket);
    Write(renderer.Finish());
    std::cerr << CoverageNotes(response.coverage());
    return absl::OkStatus();
  });
}

void AddTail(Program& program, CLI::App& group) {
  struct Options {
    std::string tenant;
    std::string filter;
  };
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand("tail", "Events as they come, until interrupted");
  command.add_option("filter", options->filter, kFilterHelp);
  command.add_option("--filter", options->filter, kFilterHelp);
  command.add_option("--tenant", options->tenant, "Tenant id; without it all that you may see");
  program.DoConnected(command, [&program, options](Client& client) {
    archive::v1::TailEventsRequest request;
    request.set_parent(TenantParent(options->tenant));
    request.set_filter(options->filter);
    const Format format = program.format() == Format::kJson ? Format::kJsonLines : program.format();
    Renderer renderer(format, kEventColumns);
    return client.ReadStream(&ArchiveService::Stub::TailEvents, request, true,
                             [&](const archive::v1::TailEventsResponse& response) {
                               for (const auto& event : response.events()) renderer.Add(event);
                               Write(renderer.Flush());
                               if (response.skipped()) std::cerr << "(some events are not shown)\n";
                               return true;
                             });
  });
}

void AddCoverage(Program& program, CLI::App& group) {
  auto options = std::make_shared<RangeOptions>();
  CLI::App& command =
      *group.add_subcommand("coverage", "Which sources sent how much, and in how many hours");
  command.add_option("--tenant", options->tenant, "Tenant id; without it all that you may see");
  command.add_option("--since,--from", options->since, "Received since")->capture_default_str();
  command.add_option("--until,--to", options->until, "Received before")->capture_default_str();
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    const TimePoint now = SystemClock()->Now();
    archive::v1::GetCoverageRequest request;
    request.set_parent(TenantParent(options->tenant));
    YAGURA_ASSIGN_OR_RETURN(const auto since, ParseWhen(options->since, now));
    YAGURA_ASSIGN_OR_RETURN(const auto until, ParseWhen(options->until, now));
    *request.mutable_range()->mutable_start_time() = ToProto(since);
    *request.mutable_range()->mutable_end_time() = ToProto(until);
    YAGURA_ASSIGN_OR_RETURN(const auto response,
                            client.Call(&ArchiveService::Stub::GetCoverage, request));
    Renderer renderer(program.format(), {{"TENANT", "tenant"},
                                         {"SITE", "site"},
                                         {"DEVICE", "device"},
                                         {"PRODUCT", "product"},
                                         {"EVENTS", "event_count"},
                                         {"FLAWED", "flawed_count"},
                                         {"HOURS", "hours_with_events"},
                                         {"LAST", "last_receive_time"}});
    for (const auto& source : response.sources()) renderer.Add(source);
    Write(renderer.Finish());
    return absl::OkStatus();
  });
}

}  // namespace

void AddEventCommands(Program& program) {
  CLI::App& group = program.Group("event", "Search and count what the devices logged");
  AddSearch(program, group);
  AddCount(program, group);
  AddTop(program, group);
  AddAggregate(program, group);
  AddHistogram(program, group);
  AddTail(program, group);
  AddCoverage(program, group);
}

}  // namespace yagura::cli
