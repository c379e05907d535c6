#include <algorithm>
#include <iostream>
#include <utility>

#include "cli/commands/event_range.h"
#include "fmt/format.h"

#include "common/json/message_json.h"
#include "common/text/text.h"
#include "yagura/archive/v1/archive_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using archive::v1::AggregateEventsRequest;
using archive::v1::AggregateRow;
using archive::v1::ArchiveService;
using google::protobuf::Message;

struct AggregateOptions {
  RangeOptions range;
  std::vector<std::string> by;
  std::vector<std::string> distinct, top, percentiles, sum, average, min, max;
  bool first_seen = false;
  bool last_seen = false;
  int limit = 10;
  std::string order_by;
  bool skip_missing = false;
  int64_t interval_seconds = 0;
};

void Add(AggregateEventsRequest& request, archive::v1::AggregateFunction function,
         const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    auto* aggregate = request.add_aggregates();
    aggregate->set_function(function);
    aggregate->set_field(path);
  }
}

// "bytes_out=50,99": the numbers behind the last "=", which a path cannot have.
absl::Status AddPercentiles(AggregateEventsRequest& request, const std::string& text) {
  auto* aggregate = request.add_aggregates();
  aggregate->set_function(archive::v1::PERCENTILES);
  const size_t equals = text.rfind('=');
  aggregate->set_field(text.substr(0, equals));
  if (equals == std::string::npos) return absl::OkStatus();
  for (const std::string_view number : Split(std::string_view(text).substr(equals + 1), ',')) {
    const auto percent = ParseNumber<double>(Trim(number));
    if (!percent) return InvalidField("percentiles", fmt::format("\"{}\" is no number", number));
    aggregate->add_percents(*percent);
  }
  return absl::OkStatus();
}

// "dst.port=5": the number behind the last "=".
absl::Status AddTop(AggregateEventsRequest& request, const std::string& text) {
  auto* aggregate = request.add_aggregates();
  aggregate->set_function(archive::v1::TOP);
  const size_t equals = text.rfind('=');
  aggregate->set_field(text.substr(0, equals));
  if (equals == std::string::npos) return absl::OkStatus();
  const auto count = ParseNumber<int>(std::string_view(text).substr(equals + 1));
  if (!count) return InvalidField("top", fmt::format("\"{}\" ends in no number", text));
  aggregate->set_top(*count);
  return absl::OkStatus();
}

absl::Status Fill(const AggregateOptions& options, AggregateEventsRequest& request) {
  YAGURA_RETURN_IF_ERROR(FillRange(options.range, request));
  for (const auto& name : options.by) request.add_group_by(name);
  Add(request, archive::v1::DISTINCT, options.distinct);
  Add(request, archive::v1::SUM, options.sum);
  Add(request, archive::v1::AVERAGE, options.average);
  Add(request, archive::v1::MIN, options.min);
  Add(request, archive::v1::MAX, options.max);
  for (const auto& text : options.percentiles) {
    YAGURA_RETURN_IF_ERROR(AddPercentiles(request, text));
  }
  for (const auto& text : options.top) YAGURA_RETURN_IF_ERROR(AddTop(request, text));
  if (options.first_seen) Add(request, archive::v1::FIRST_SEEN, {""});
  if (options.last_seen) Add(request, archive::v1::LAST_SEEN, {""});
  request.set_limit(options.limit);
  request.set_order_by(options.order_by);
  request.set_skip_missing(options.skip_missing);
  if (options.interval_seconds > 0) {
    request.mutable_interval()->set_seconds(options.interval_seconds);
  }
  return absl::OkStatus();
}

std::string Number(double number) { return fmt::format("{:.6g}", number); }

std::string ResultText(const archive::v1::AggregateResult& result) {
  const std::string_view about = result.approximate() ? "~" : "";
  if (result.has_count()) return fmt::format("{}{}", about, result.count());
  if (result.has_number()) return Number(result.number());
  if (result.has_time()) {
    return FormatTime(std::chrono::floor<std::chrono::seconds>(FromProto(result.time())));
  }
  std::vector<std::string> parts;
  for (const double percentile : result.percentiles()) {
    parts.push_back(fmt::format("{}{}", about, Number(percentile)));
  }
  for (const auto& top : result.top()) {
    parts.push_back(fmt::format("{} ({}{})", EscapeForTerminal(top.value()),
                                top.error() > 0 ? "up to " : "", top.count()));
  }
  return Join(parts, ", ");
}

// Which columns are estimates or may be, and how good.
std::string AccuracyNotes(const archive::v1::AggregateEventsResponse& response) {
  std::string notes;
  for (int i = 0; i < response.aggregates_size(); ++i) {
    const auto& aggregate = response.aggregates(i);
    if (aggregate.accuracy().empty()) continue;
    const bool is_estimated =
        std::any_of(response.rows().begin(), response.rows().end(), [i](const AggregateRow& row) {
          return i < row.results_size() && row.results(i).approximate();
        });
    notes +=
        fmt::format("{}: {}{}\n", EscapeForTerminal(aggregate.name()),
                    is_estimated ? "estimates; " : "", EscapeForTerminal(aggregate.accuracy()));
  }
  return notes;
}

const AggregateRow& RowOf(const Message& message) {
  return static_cast<const AggregateRow&>(message);
}

std::vector<TableColumn> Columns(const AggregateEventsRequest& request,
                                 const archive::v1::AggregateEventsResponse& response) {
  constexpr size_t kWide = 100;
  std::vector<TableColumn> columns;
  if (request.has_interval()) columns.push_back({"FROM", "start_time"});
  for (int i = 0; i < request.group_by_size(); ++i) {
    columns.push_back({ToUpper(request.group_by(i)), "", 60, [i](const Message& row) {
                         return EscapeForTerminal(RowOf(row).values(i));
                       }});
  }
  columns.push_back({"COUNT", "count"});
  for (int i = 0; i < response.aggregates_size(); ++i) {
    columns.push_back({ToUpper(response.aggregates(i).name()), "", kWide,
                       [i](const Message& row) { return ResultText(RowOf(row).results(i)); }});
  }
  return columns;
}

void AddFunctions(CLI::App& command, AggregateOptions& options) {
  const auto paths = [&command](const char* name, std::vector<std::string>& target,
                                const char* help) {
    command.add_option(name, target, help)->allow_extra_args(false);
  };
  paths("--distinct", options.distinct,
        "How many different values PATH has; above 4,000 an estimate, marked ~");
  paths("--sum", options.sum, "Sum of PATH");
  paths("--average", options.average, "Mean of PATH");
  paths("--min", options.min, "Smallest value of PATH");
  paths("--max", options.max, "Greatest value of PATH");
  paths("--percentiles", options.percentiles,
        "Of PATH: 50, 90, 95, 99, or PATH=50,99.9; within 1 %");
  paths("--top", options.top, "Most frequent values of PATH: 10, or PATH=5");
  command.add_flag("--first-seen", options.first_seen, "Receipt of the first event");
  command.add_flag("--last-seen", options.last_seen, "Receipt of the last event");
}

}  // namespace

void AddAggregate(Program& program, CLI::App& group) {
  constexpr int64_t kMostSeconds = 366LL * 24 * 3600;
  auto options = std::make_shared<AggregateOptions>();
  CLI::App& command = *group.add_subcommand(
      "aggregate", "Distinct and top values, percentiles, sums, first and last times, by groups");
  AddRangeOptions(command, options->range);
  AddHappenedOption(command, options->range);
  command.add_option("--by", options->by, "Up to 4 names to group by: src.ip, fields.attack, ...")
      ->delimiter(',')
      ->allow_extra_args(false);
  AddFunctions(command, *options);
  command.add_option("--limit", options->limit, "Most groups")->capture_default_str();
  command.add_option("--order-by", options->order_by,
                     "count, value, or a column's name in small letters; also with \" desc\"");
  command.add_flag("--skip-missing", options->skip_missing, "Leave out groups without a value");
  command.add_option("--interval", options->interval_seconds, "Over time: seconds a bucket")
      ->check(CLI::Range(int64_t{0}, kMostSeconds));
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    AggregateEventsRequest request;
    YAGURA_RETURN_IF_ERROR(Fill(*options, request));
    YAGURA_ASSIGN_OR_RETURN(const auto response,
                            client.Call(&ArchiveService::Stub::AggregateEvents, request));
    if (program.format() == Format::kJson) {
      Write(MessageToJson(response) + "\n");
      std::cerr << CoverageNotes(response.coverage());
      return absl::OkStatus();
    }
    Renderer renderer(program.format(), Columns(request, response));
    for (const auto& row : response.rows()) renderer.Add(row);
    Write(renderer.Finish());
    if (program.format() == Format::kTable) {
      Write(fmt::format("{} events{}\n", response.total(),
                        response.truncated() ? ", more groups than shown" : ""));
      Write(AccuracyNotes(response));
    }
    std::cerr << CoverageNotes(response.coverage());
    return absl::OkStatus();
  });
}

void AddHappenedOption(CLI::App& command, RangeOptions& options) {
  command.add_flag("--happened", options.happened,
                   "The range is of when it happened by the events' own time, not of receipt: also "
                   "what came up to 7 days late");
}

std::string CoverageNotes(const archive::v1::CoverageSummary& summary) {
  std::string notes;
  for (const std::string& gap : summary.gaps()) {
    notes += fmt::format("note: {}\n", EscapeForTerminal(gap));
  }
  return notes;
}

void AddRangeOptions(CLI::App& command, RangeOptions& options, const char* filter_help) {
  command.add_option("filter", options.filter, filter_help);
  command.add_option("--filter", options.filter, filter_help);
  command.add_option("--tenant", options.tenant, "Tenant id; without it all that you may see");
  command
      .add_option("--since,--from", options.since, "Received since: a time, or 15m, 24h, 7d ago")
      ->capture_default_str();
  command.add_option("--until,--to", options.until, "Received before")->capture_default_str();
}

}  // namespace yagura::cli
