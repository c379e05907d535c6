#include <limits>
#include <utility>

#include "cli/commands/command.h"
#include "cli/time_range.h"
#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/json/message_json.h"
#include "common/text/text.h"
#include "yagura/archive/v1/archive_service.grpc.pb.h"
#include "yagura/detection/v1/detection_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using archive::v1::ArchiveService;
using detection::v1::DetectionService;

const std::vector<TableColumn> kTimeline = {
    {"FIRST", "first_time"},   {"LAST", "last_time"}, {"EVENTS", "event_count"},
    {"SEVERITY", "severity"},  {"ACTION", "action"},  {"SOURCE", "src_ip"},
    {"DESTINATION", "dst_ip"}, {"PORT", "dst_port"},  {"USER", "user"},
    {"PRODUCT", "product"},    {"WHAT", "what", 50}};
const std::vector<TableColumn> kPeers = {
    {"SOURCE", "flow.src_ip"},       {"DESTINATION", "flow.dst_ip"},
    {"PROTOCOL", "flow.protocol"},   {"PORT", "flow.dst_port"},
    {"VERDICT", "flow.verdict"},     {"EVENTS", "flow.event_count"},
    {"BYTES OUT", "flow.bytes_out"}, {"BYTES IN", "flow.bytes_in"},
    {"FIRST", "flow.first_time"},    {"NEW", "is_new"},
    {"OUTSIDE", "outside"}};
const std::vector<TableColumn> kFacts = {{"KIND", "kind"},          {"VALUE", "value"},
                                         {"FIRST", "first_time"},   {"LAST", "last_time"},
                                         {"EVENTS", "event_count"}, {"NEW", "is_new"}};
const std::vector<TableColumn> kFindings = {{"FIRST EVENT", "first_event_time"},
                                            {"SEVERITY", "severity"},
                                            {"TITLE", "title"},
                                            {"EVENTS", "event_count"},
                                            {"NAME", "name"}};
const std::vector<TableColumn> kSources = {{"TENANT", "tenant"},
                                           {"SITE", "site"},
                                           {"DEVICE", "device"},
                                           {"PRODUCT", "product"},
                                           {"EVENTS", "event_count"},
                                           {"HOURS", "hours_with_events"},
                                           {"CLOCK ERRORS", "clock_error_count"}};
const std::vector<TableColumn> kCovered = {{"TENANT", "tenant"},
                                           {"SOURCE", "source"},
                                           {"DEVICE", "device"},
                                           {"LINES", "line_count"},
                                           {"LOST", "lost_count"},
                                           {"DROPPED", "kernel_drop_count"},
                                           {"HOURS", "hours_with_lines"},
                                           {"SILENT HOURS", "silent_hours"},
                                           {"UNWATCHED MIN", "unwatched_minutes"},
                                           {"CLOCK ERRORS", "clock_error_count"},
                                           {"CLOCK OFF BY", "clock_offset"}};
const std::vector<TableColumn> kTerminals = {
    {"MAC", "mac"},        {"HOST", "host"},          {"FIRST", "first_time"},
    {"LAST", "last_time"}, {"EVENTS", "event_count"}, {"LEASES", "lease_count"}};
const std::vector<TableColumn> kCandidates = {
    {"TENANT", "tenant"},       {"SITE", "site"},        {"DEVICE", "device"},
    {"INSIDE", "inside_ip"},    {"PORT", "inside_port"}, {"PEER", "peer_ip"},
    {"PEER PORT", "peer_port"}, {"USER", "user"},        {"FROM", "start_time"},
    {"TO", "end_time"},         {"OFF BY", "distance"},  {"EVENTS", "event_count"}};

template <typename Rows>
void WriteSection(const std::string& title, const Rows& rows, std::vector<TableColumn> columns,
                  int most = std::numeric_limits<int>::max()) {
  if (rows.empty()) return;
  Renderer renderer(Format::kTable, std::move(columns));
  int left = most;
  for (const auto& row : rows) {
    if (left-- > 0) renderer.Add(row);
  }
  const int hidden = static_cast<int>(rows.size()) - most;
  Write(title + "\n" + renderer.Finish() +
        (hidden > 0 ? fmt::format("... and {} more (--limit)\n", hidden) : "") + "\n");
}

void WriteRemarks(const google::protobuf::RepeatedPtrField<std::string>& remarks) {
  for (const std::string& remark : remarks) Write("! " + EscapeForTerminal(remark) + "\n");
}

// On what the answer stands.
template <typename Response>
void WriteCoverage(const Response& response) {
  WriteSection("What was received in these hours", response.sources(), kCovered);
  WriteSection("Sources that sent anything in that time", response.coverage(), kSources);
  WriteRemarks(response.remarks());
}

// As a value of a filter, whatever stands in it.
std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\' || c == '*') out += '\\';
    out += c;
  }
  return out + '"';
}

// The findings that name the entity and whose events lie in the range: at most 100, of the newest
// few pages.
absl::StatusOr<std::vector<detection::v1::Finding>> FindingsOf(
    Client& client, const archive::v1::InvestigateEntityRequest& asked,
    const archive::v1::InvestigateEntityResponse& answer) {
  constexpr size_t kMostFindings = 100;
  constexpr size_t kMostNames = 20;
  constexpr int kMostPages = 20;
  detection::v1::ListFindingsRequest request;
  request.set_parent(asked.parent());
  std::vector<std::string> names = {Quoted(asked.entity())};
  for (const std::string& name : answer.names()) {
    if (names.size() < kMostNames) names.push_back(Quoted(name));
  }
  request.set_filter(
      fmt::format("entities.value:({}) AND last_event_time >= \"{}\" AND first_event_time < \"{}\"",
                  Join(names, " OR "), FormatTime(FromProto(answer.range().start_time())),
                  FormatTime(FromProto(answer.range().end_time()))));
  std::vector<detection::v1::Finding> findings;
  for (int page = 0; page < kMostPages && findings.size() < kMostFindings; ++page) {
    YAGURA_ASSIGN_OR_RETURN(const auto response,
                            client.Call(&DetectionService::Stub::ListFindings, request));
    findings.insert(findings.end(), response.findings().begin(), response.findings().end());
    if (response.next_page_token().empty()) break;
    request.set_page_token(response.next_page_token());
  }
  return findings;
}

struct InvestigateOptions {
  std::string entity;
  std::string type;
  std::string tenant;
  std::string at = "now";
  std::string before = "24h";
  std::string after = "1h";
  int limit = 100;
};

absl::Status FillInvestigation(const InvestigateOptions& options,
                               archive::v1::InvestigateEntityRequest& request) {
  request.set_parent(TenantParent(options.tenant));
  request.set_entity(options.entity);
  if (!options.type.empty()) {
    archive::v1::InvestigatedType type{};
    if (!archive::v1::InvestigatedType_Parse("INVESTIGATED_" + ToUpper(options.type), &type)) {
      return InvalidField("type", "must be address, user, host, hash or name");
    }
    request.set_type(type);
  }
  YAGURA_ASSIGN_OR_RETURN(const auto at, ParseWhen(options.at, SystemClock()->Now()));
  YAGURA_ASSIGN_OR_RETURN(const auto before, ParseSpan(options.before));
  YAGURA_ASSIGN_OR_RETURN(const auto after, ParseSpan(options.after));
  *request.mutable_time() = ToProto(at);
  *request.mutable_before() = ToProtoDuration(before);
  *request.mutable_after() = ToProtoDuration(after);
  request.set_timeline_size(options.limit);
  return absl::OkStatus();
}

// Since when what is called new is so.
std::string Since(std::string title, const char* known, const google::protobuf::Timestamp& time,
                  bool given) {
  if (!given) return title;
  return fmt::format("{} (NEW: not seen before, as far back as {} {})", title, known,
                     FormatTime(std::chrono::floor<std::chrono::seconds>(FromProto(time))));
}

void WriteInvestigation(const archive::v1::InvestigateEntityResponse& response,
                        const std::vector<detection::v1::Finding>& findings, int most) {
  Write(fmt::format("{} events from {} to {}: {}\n\n", response.event_count(),
                    FormatTime(FromProto(response.range().start_time())),
                    FormatTime(FromProto(response.range().end_time())),
                    EscapeForTerminal(response.filter())));
  WriteSection("Timeline", response.timeline(), kTimeline, most);
  WriteSection("Findings", findings, kFindings, most);
  WriteSection(
      Since(response.peers_truncated() ? "Peers, the first 100" : "Peers", "flows are known,",
            response.flows_known_since(), response.has_flows_known_since()),
      response.peers(), kPeers, most);
  WriteSection(Since("Seen with", "the logs reach,", response.events_known_since(),
                     response.has_events_known_since()),
               response.first_seen(), kFacts, most);
  WriteCoverage(response);
}

void AddInvestigate(Program& program) {
  auto options = std::make_shared<InvestigateOptions>();
  CLI::App& command = *program.app().add_subcommand(
      "investigate", "What an address, user, host or hash did around a time");
  command.add_option("entity", options->entity, "The address, user, host or hash")->required();
  command.add_option("--type", options->type,
                     "address, user, host, hash or name (user or host); by its form if not given");
  command.add_option("--tenant", options->tenant, "Tenant id; without it all that you may see");
  command.add_option("--at", options->at, "When it mattered: a time, or 15m, 24h, 7d ago")
      ->capture_default_str();
  command.add_option("--before,--window", options->before, "How long before that: 15m, 24h, 7d")
      ->capture_default_str();
  command.add_option("--after", options->after, "How long after that")->capture_default_str();
  command
      .add_option("--limit", options->limit,
                  "Most entries of the timeline and, of tables, of each section; 1 to 1000")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    archive::v1::InvestigateEntityRequest request;
    YAGURA_RETURN_IF_ERROR(FillInvestigation(*options, request));
    YAGURA_ASSIGN_OR_RETURN(const auto response,
                            client.Call(&ArchiveService::Stub::InvestigateEntity, request));
    // What the archive knows is shown though detection does not answer.
    const auto findings = FindingsOf(client, request, response);
    const absl::Status status = findings.ok()
                                    ? absl::OkStatus()
                                    : Annotate(findings.status(), "the findings are not known");
    const auto known = findings.ok() ? *findings : std::vector<detection::v1::Finding>();
    if (program.format() == Format::kTable) {
      WriteInvestigation(response, known, options->limit);
      return status;
    }
    std::vector<std::string> texts;
    for (const auto& finding : known) texts.push_back(MessageToJson(finding));
    Write(fmt::format("{{\"investigation\":{},\"findings\":[{}]}}\n", MessageToJson(response),
                      Join(texts, ",")));
    return status;
  });
}

struct TraceOptions {
  std::string address;
  uint32_t port = 0;
  std::string peer;
  uint32_t peer_port = 0;
  std::string at;
  std::string tolerance = "5m";
  std::string tenant;
};

void AddTrace(Program& program) {
  constexpr uint32_t kMostPort = 65'535;
  auto options = std::make_shared<TraceOptions>();
  CLI::App& command = *program.app().add_subcommand(
      "trace", "Which machine inside had a public address and port that somebody reports");
  command.add_option("address", options->address, "The public address")->required();
  command.add_option("port", options->port, "The public port")->check(CLI::Range(0U, kMostPort));
  command.add_option("--at", options->at, "When, by the reporter's clock")->required();
  command.add_option("--tolerance", options->tolerance, "How wrong the clocks may be")
      ->capture_default_str();
  command.add_option("--peer", options->peer, "Whom it talked to");
  command.add_option("--peer-port", options->peer_port, "The port there")
      ->check(CLI::Range(0U, kMostPort));
  command.add_option("--tenant", options->tenant, "Tenant id; without it all that you may see");
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    archive::v1::TraceEndpointRequest request;
    request.set_parent(TenantParent(options->tenant));
    request.set_address(options->address);
    request.set_port(options->port);
    request.set_peer_address(options->peer);
    request.set_peer_port(options->peer_port);
    YAGURA_ASSIGN_OR_RETURN(const auto at, ParseWhen(options->at, SystemClock()->Now()));
    YAGURA_ASSIGN_OR_RETURN(const auto tolerance, ParseSpan(options->tolerance));
    *request.mutable_time() = ToProto(at);
    *request.mutable_clock_tolerance() = ToProtoDuration(tolerance);
    YAGURA_ASSIGN_OR_RETURN(const auto response,
                            client.Call(&ArchiveService::Stub::TraceEndpoint, request));
    if (program.format() != Format::kTable) {
      Write(MessageToJson(response) + "\n");
      return absl::OkStatus();
    }
    WriteSection("Candidates, the nearest in time first", response.candidates(), kCandidates);
    for (const auto& candidate : response.candidates()) {
      WriteSection(fmt::format("Machines that had {}", Cell(candidate, "inside_ip")),
                   candidate.terminals(), kTerminals);
    }
    WriteCoverage(response);
    return absl::OkStatus();
  });
}

}  // namespace

void AddInvestigateCommands(Program& program) {
  AddInvestigate(program);
  AddTrace(program);
}

}  // namespace yagura::cli
