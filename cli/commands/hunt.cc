#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "cli/commands/command.h"
#include "cli/time_left.h"
#include "cli/time_range.h"
#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/rule_limits.h"
#include "yagura/detection/v1/detection_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using detection::v1::DetectionService;
using detection::v1::Hunt;
using detection::v1::HuntResult;
using google::protobuf::Message;
using Stub = DetectionService::Stub;

constexpr size_t kMaxIndicatorBytes = 256 * 1024;
constexpr int kPageSize = 1000;
constexpr size_t kBarWidth = 30;

bool IsOver(const Hunt& hunt) {
  return hunt.state() == detection::v1::DONE || hunt.state() == detection::v1::FAILED ||
         hunt.state() == detection::v1::CANCELLED;
}

const HuntResult& ResultOf(const Message& message) {
  return static_cast<const HuntResult&>(message);
}

std::string TenantOfRow(const Message& message) {
  const std::string& name = ResultOf(message).name();
  const auto parts = Split(name, '/');
  return parts.size() > 1 ? std::string(parts[1]) : name;
}

std::string ProductCell(const Message& message) {
  switch (ResultOf(message).product_presence()) {
    case detection::v1::PRODUCT_FOUND:
      return fmt::format("yes ({})", ResultOf(message).asset_count());
    case detection::v1::PRODUCT_NOT_FOUND:
      return "not found";
    case detection::v1::PRODUCT_UNKNOWN:
      return "unknown";
    default:
      return "";
  }
}

// How many, and since when.
std::string TallyCell(const detection::v1::HuntTally& tally) {
  if (tally.count() == 0) return "0";
  return fmt::format("{} since {}", tally.count(), Cell(tally, "first_time"));
}

// On what it stands, in a word or two.
std::string LogsCell(const Message& message) {
  const HuntResult& result = ResultOf(message);
  if (result.state() == detection::v1::QUEUED) return "";
  if (!result.has_first_receive_time()) return "no events";
  const auto& coverage = result.coverage();
  if (coverage.source_count() == 0) return "not known";
  return fmt::format(
      "{} source{}, {}", coverage.source_count(), coverage.source_count() == 1 ? "" : "s",
      coverage.gaps().empty()
          ? "no gaps known"
          : fmt::format("{} gap{}", coverage.gaps_size(), coverage.gaps_size() == 1 ? "" : "s"));
}

std::string MatchesCell(const Message& message) {
  std::vector<std::string> parts;
  for (const auto& match : ResultOf(message).matches()) {
    parts.push_back(fmt::format("{} ({})", match.value(), match.events().count()));
  }
  return Join(parts, ", ");
}

std::vector<TableColumn> Columns() {
  return {
      {"TENANT", "", 40, TenantOfRow},
      {"STATE", "state"},
      {"PRODUCT", "", 20, ProductCell},
      {"ATTEMPTED", "", 40,
       [](const Message& message) { return TallyCell(ResultOf(message).attempted()); }},
      {"PASSED", "", 40,
       [](const Message& message) { return TallyCell(ResultOf(message).passed()); }},
      {"BLOCKED", "", 40,
       [](const Message& message) { return TallyCell(ResultOf(message).blocked()); }},
      {"UNDECIDED", "undecided.count"},
      {"RELATED", "related.count"},
      {"LOGS", "", 40, LogsCell},
      {"MATCHES", "", 60, MatchesCell},
      {"ERROR", "error", 60},
  };
}

// Every tenant's result that we may see. What weakens an answer follows the table.
absl::Status PrintResults(Program& program, Client& client, const std::string& hunt,
                          const std::string& tenant, const std::string& filter) {
  Renderer renderer(program.format(), Columns());
  std::string notes;
  detection::v1::ListHuntResultsRequest request;
  request.set_parent(TenantParent(tenant));
  request.set_hunt(hunt);
  request.set_filter(filter);
  request.set_page_size(kPageSize);
  do {
    YAGURA_ASSIGN_OR_RETURN(const auto page, client.Call(&Stub::ListHuntResults, request));
    for (const auto& result : page.hunt_results()) {
      renderer.Add(result);
      std::vector<std::string> lines(result.product_reasons().begin(),
                                     result.product_reasons().end());
      lines.insert(lines.end(), result.coverage().gaps().begin(), result.coverage().gaps().end());
      lines.insert(lines.end(), result.remarks().begin(), result.remarks().end());
      for (const auto& line : lines) {
        notes += fmt::format("{}: {}\n", TenantOfRow(result), EscapeForTerminal(line));
      }
    }
    Write(renderer.Flush());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  Write(renderer.Finish());
  if (program.format() == Format::kTable && !notes.empty()) Write("\n" + notes);
  return absl::OkStatus();
}

// Of a hunt under way.
std::string LeftOf(const Hunt& hunt) {
  if (hunt.state() != detection::v1::RUNNING) return "";
  return TimeLeft(hunt.progress(), SystemClock()->Now() - FromProto(hunt.create_time()));
}

// "40 %, 3 of 7 tenants done, left: 2 min at 20 %/min".
std::string ProgressText(const Hunt& hunt) {
  const std::string left = LeftOf(hunt);
  return fmt::format("{:.0f} %, {} of {} tenants done{}{}",
                     std::clamp(hunt.progress(), 0.0, 1.0) * 100, hunt.finished_tenant_count(),
                     hunt.tenant_count(), left.empty() ? "" : ", left: ", left);
}

// A bar on a terminal; elsewhere a line at each tenth.
class HuntProgress {
 public:
  void Show(const Hunt& hunt) {
    const double progress = std::clamp(hunt.progress(), 0.0, 1.0);
    if (isatty(STDERR_FILENO) == 0) {
      constexpr int kTenths = 10;
      const int tenth = static_cast<int>(progress * kTenths);
      if (tenth <= tenth_) return;
      tenth_ = tenth;
      std::cerr << ProgressText(hunt) << "\n" << std::flush;
      return;
    }
    const auto full = static_cast<size_t>(progress * kBarWidth);
    std::cerr << fmt::format("\r\x1b[K[{}{}] {}", std::string(full, '#'),
                             std::string(kBarWidth - full, '.'), ProgressText(hunt))
              << std::flush;
  }

 private:
  int tenth_ = 0;
};

// Until it is over. A stream that is cut off for its age is asked for again.
absl::Status Await(Client& client, Hunt& hunt) {
  detection::v1::WatchHuntRequest request;
  request.set_name(hunt.name());
  HuntProgress progress;
  while (!IsOver(hunt)) {
    const absl::Status status =
        client.ReadStream(&Stub::WatchHunt, request, true,
                          [&hunt, &progress](const detection::v1::WatchHuntResponse& response) {
                            hunt = response.hunt();
                            progress.Show(hunt);
                            return !IsOver(hunt);
                          });
    if (!status.ok() && status.code() != absl::StatusCode::kUnauthenticated) return status;
  }
  if (isatty(STDERR_FILENO) != 0) std::cerr << "\r\x1b[K";
  return absl::OkStatus();
}

struct StartOptions {
  std::string rule_file;
  std::string rule_name;
  std::string indicators;
  std::string cve;
  std::vector<std::string> tenants;
  std::string home = "provider";
  std::string since = "30d";
  std::string until = "now";
  std::string filter;
  std::string product;
  std::string title;
  bool no_wait = false;
};

absl::Status SetQuestion(const StartOptions& options, Hunt& hunt) {
  const auto given =
      static_cast<int>(!options.rule_file.empty()) + static_cast<int>(!options.rule_name.empty()) +
      static_cast<int>(!options.indicators.empty()) + static_cast<int>(!options.cve.empty());
  if (given != 1) {
    return MakeError(absl::StatusCode::kInvalidArgument, "NO_QUESTION",
                     "give one of --rule, --rule-name, --indicators, --cve");
  }
  if (!options.cve.empty()) hunt.mutable_vulnerability()->set_cve(options.cve);
  if (!options.rule_name.empty()) {
    hunt.mutable_rule()->set_rule(ResourceName("provider", "rules", options.rule_name));
  }
  if (!options.rule_file.empty()) {
    YAGURA_ASSIGN_OR_RETURN(*hunt.mutable_rule()->mutable_text(),
                            ReadText(options.rule_file, detection::kMaxRuleText));
  }
  if (!options.indicators.empty()) {
    YAGURA_ASSIGN_OR_RETURN(*hunt.mutable_indicators()->mutable_text(),
                            ReadText(options.indicators, kMaxIndicatorBytes));
  }
  return absl::OkStatus();
}

absl::Status Start(Program& program, Client& client, const StartOptions& options) {
  const TimePoint now = SystemClock()->Now();
  detection::v1::CreateHuntRequest request;
  request.set_parent(TenantParent(options.home));
  Hunt& asked = *request.mutable_hunt();
  YAGURA_RETURN_IF_ERROR(SetQuestion(options, asked));
  YAGURA_ASSIGN_OR_RETURN(const auto since, ParseWhen(options.since, now));
  *asked.mutable_start_time() = ToProto(since);
  if (options.until != "now") {  // which the server knows best
    YAGURA_ASSIGN_OR_RETURN(const auto until, ParseWhen(options.until, now));
    *asked.mutable_end_time() = ToProto(until);
  }
  asked.set_event_filter(options.filter);
  asked.set_product(options.product);
  asked.set_title(options.title);
  for (const auto& tenant : options.tenants) request.add_tenants(tenant);
  SetRequestId(request);
  YAGURA_ASSIGN_OR_RETURN(Hunt hunt, client.Call(&Stub::CreateHunt, request));
  if (options.no_wait) {
    program.Print(hunt);
    return absl::OkStatus();
  }
  std::cerr << hunt.name() << "\n";
  YAGURA_RETURN_IF_ERROR(Await(client, hunt));
  YAGURA_RETURN_IF_ERROR(PrintResults(program, client, hunt.name(), "-", ""));
  if (hunt.failed_tenant_count() == 0) return absl::OkStatus();
  return MakeError(absl::StatusCode::kAborted, "HUNT_INCOMPLETE",
                   fmt::format("the hunt failed in {} of {} tenants", hunt.failed_tenant_count(),
                               hunt.tenant_count()));
}

void AddStart(Program& program, CLI::App& group) {
  auto options = std::make_shared<StartOptions>();
  CLI::App& command = *group.add_subcommand(
      "start",
      "Look for something in the stored events of all tenants that you may hunt in, and wait for "
      "the table per tenant. An interrupted wait leaves the hunt under way: hunt show NAME");
  command.add_option("--rule", options->rule_file, "File with a Sigma rule; - is standard input");
  command.add_option(
      "--rule-name", options->rule_name,
      "A rule that is kept: tenants/T/rules/R, or the Sigma id of a provider's rule");
  command.add_option("--indicators", options->indicators,
                     "File with addresses, networks, domains, URLs, hashes, one a line, or CSV "
                     "(column \"indicator\", \"value\" or \"ioc\", else the first); - is standard "
                     "input");
  command.add_option("--cve", options->cve, "A CVE id: who has the product, who was attacked");
  command.add_option("--tenant", options->tenants,
                     "Hunt in this tenant alone; may be given several times");
  command
      .add_option(
          "--home", options->home,
          "Tenant under which the hunt is kept; under a customer it is about that one alone")
      ->capture_default_str();
  command
      .add_option("--since,--from", options->since,
                  "Events received since: a time, or 24h, 30d ago")
      ->capture_default_str();
  command.add_option("--until,--to", options->until, "Events received before")
      ->capture_default_str();
  command.add_option("--filter", options->filter,
                     "AIP-160 over the fields of events: look at these alone");
  command.add_option("--product", options->product,
                     "Whose presence to tell, vendor:product or CPE 2.3; without it what CISA's "
                     "catalogue says of the CVE");
  command.add_option("--title", options->title, "For people, also those of the tenants");
  command.add_flag("--no-wait", options->no_wait, "Print the hunt and leave it to itself");
  program.DoConnected(
      command, [&program, options](Client& client) { return Start(program, client, *options); });
}

struct ShowOptions {
  std::string hunt;
  std::string home = "provider";
  std::string tenant;
  std::string filter;
};

// The hunt on standard error, its table on standard output; of one tenant all there is.
absl::Status Show(Program& program, Client& client, const ShowOptions& options) {
  const std::string name = ResourceName(options.home, "hunts", options.hunt);
  if (!options.tenant.empty()) {
    detection::v1::GetHuntResultRequest request;
    request.set_name(ResourceName(options.tenant, "huntResults",
                                  std::string_view(name).substr(name.rfind('/') + 1)));
    YAGURA_ASSIGN_OR_RETURN(const auto result, client.Call(&Stub::GetHuntResult, request));
    program.Print(result);
    return absl::OkStatus();
  }
  if (program.format() == Format::kTable) {
    detection::v1::GetHuntRequest request;
    request.set_name(name);
    YAGURA_ASSIGN_OR_RETURN(Hunt hunt, client.Call(&Stub::GetHunt, request));
    if (hunt.has_rule()) hunt.mutable_rule()->clear_text();
    if (hunt.has_indicators()) hunt.mutable_indicators()->clear_text();
    Write(fmt::format("{}\n{}\n", MessageToText(hunt), ProgressText(hunt)));
  }
  return PrintResults(program, client, name, "-", options.filter);
}

void AddShow(Program& program, CLI::App& group) {
  auto options = std::make_shared<ShowOptions>();
  CLI::App& command = *group.add_subcommand(
      "show", "A hunt and its table per tenant; with --tenant one result with its evidence");
  command.add_option("hunt", options->hunt, "tenants/T/hunts/H, or the id of a provider's hunt")
      ->required();
  command.add_option("--home", options->home, "Tenant under which the hunt is kept")
      ->capture_default_str();
  command.add_option("--tenant", options->tenant, "What was found in this tenant");
  command.add_option("--filter", options->filter,
                     "AIP-160 over the fields of HuntResult: 'passed.count > 0', 'product_presence "
                     "= PRODUCT_FOUND'");
  program.DoConnected(
      command, [&program, options](Client& client) { return Show(program, client, *options); });
}

}  // namespace

void AddHuntCommands(Program& program) {
  CLI::App& group = program.Group("hunt", "A rule, indicators or a CVE over stored events");
  AddStart(program, group);
  AddList(program, group, "Hunts, the latest first",
          {{"TIME", "create_time"},
           {"TITLE", "title"},
           {"STATE", "state"},
           {"PROGRESS", "", 10,
            [](const Message& message) {
              return fmt::format("{:.0f} %", static_cast<const Hunt&>(message).progress() * 100);
            }},
           {"LEFT", "", 30,
            [](const Message& message) { return LeftOf(static_cast<const Hunt&>(message)); }},
           {"DONE IN", "finished_tenant_count"},
           {"TENANTS", "tenant_count"},
           {"FAILED", "failed_tenant_count"},
           {"REQUESTER", "requester", 50},
           {"NAME", "name", 80}},
          &Stub::ListHunts);
  AddShow(program, group);
  AddNamed(program, group, "cancel", "End a hunt; what it has found is kept", "hunts", {},
           &Stub::CancelHunt);
  AddNamed(program, group, "delete", "Remove a hunt that is over, with its results", "hunts", {},
           &Stub::DeleteHunt);
}

}  // namespace yagura::cli
