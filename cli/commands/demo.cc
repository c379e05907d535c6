#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <thread>

#include "cli/commands/command.h"
#include "cli/content_dir.h"
#include "cli/data_dir.h"
#include "cli/send/syslog_sender.h"
#include "date/date.h"
#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/text/text.h"
#include "re2/re2.h"
#include "yagura/archive/v1/archive_service.grpc.pb.h"
#include "yagura/detection/v1/detection_service.grpc.pb.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"
#include "yagura/notification/v1/notification_service.grpc.pb.h"
#include "yagura/reporting/v1/reporting_service.grpc.pb.h"
#include "yagura/ticketing/v1/ticketing_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using archive::v1::ArchiveService;
using detection::v1::DetectionService;
using directory::v1::DirectoryService;
using notification::v1::NotificationService;
using reporting::v1::ReportingService;
using ticketing::v1::TicketingService;
using Nanos = std::chrono::nanoseconds;

constexpr char kTenant[] = "acme";
constexpr char kParent[] = "tenants/acme";
constexpr char kSerial[] = "FGT60FTK00000042";
constexpr std::chrono::seconds kPatience{60};
constexpr event::v1::Severity kRouteSeverity = event::v1::MEDIUM;
constexpr event::v1::Severity kTicketSeverity = event::v1::LOW;  // the default of ticketing

absl::Status IgnoreExisting(const absl::Status& status) {
  return status.code() == absl::StatusCode::kAlreadyExists ? absl::OkStatus() : status;
}

// Waits until `done` is true. DEADLINE_EXCEEDED names what was waited for.
absl::Status Await(const std::string& what, const std::function<absl::StatusOr<bool>()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    YAGURA_ASSIGN_OR_RETURN(const bool finished, done());
    if (finished) return absl::OkStatus();
    if (std::chrono::steady_clock::now() > deadline) {
      return MakeError(absl::StatusCode::kDeadlineExceeded, "DEMO_TIMEOUT",
                       fmt::format("waited {} s for {}", kPatience.count(), what));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

// The time in a FortiGate line, from its eventtime.
std::optional<TimePoint> EventTime(const std::string& line) {
  static const RE2 kEventTime(R"(eventtime=(\d{19}))");
  int64_t nanos = 0;
  if (!RE2::PartialMatch(line, kEventTime, &nanos)) return std::nullopt;
  return TimePoint(Nanos(nanos));
}

// The line as if it had happened `shift` later.
std::string Shifted(std::string line, Nanos shift) {
  static const RE2 kDate(R"(date=\d{4}-\d\d-\d\d time=\d\d:\d\d:\d\d)");
  static const RE2 kEventTime(R"(eventtime=\d{19})");
  const auto time = EventTime(line);
  if (!time) return line;
  const TimePoint moved = *time + shift;
  RE2::Replace(
      &line, kDate,
      date::format("date=%Y-%m-%d time=%H:%M:%S", std::chrono::floor<std::chrono::seconds>(moved)));
  RE2::Replace(&line, kEventTime, fmt::format("eventtime={}", moved.time_since_epoch().count()));
  return line;
}

// The sample lines, moved in time so that the last happens now.
absl::StatusOr<std::vector<std::string>> SampleLines(const std::filesystem::path& file) {
  YAGURA_ASSIGN_OR_RETURN(const auto text, ReadInput(file.string(), 16 << 20));
  std::vector<std::string> lines;
  for (const auto line : Split(text, '\n')) {
    if (!Trim(line).empty()) lines.emplace_back(line);
  }
  if (lines.empty()) return InvalidField("samples", fmt::format("{} is empty", file.string()));
  const auto last = EventTime(lines.back());
  if (!last) return lines;
  const Nanos shift = SystemClock()->Now() - *last;
  for (auto& line : lines) line = Shifted(std::move(line), shift);
  return lines;
}

class Demo {
 public:
  Demo(Client& client, std::filesystem::path data_dir, std::filesystem::path samples)
      : client_(client), data_dir_(std::move(data_dir)), samples_(std::move(samples)) {}

  absl::Status Run() {
    YAGURA_RETURN_IF_ERROR(CreateCustomer());
    YAGURA_ASSIGN_OR_RETURN(const auto lines, SampleLines(samples_));
    started_ = SystemClock()->Now();
    YAGURA_RETURN_IF_ERROR(AwaitMapping(lines.front()));
    YAGURA_ASSIGN_OR_RETURN(const uint64_t before, CountEvents(""));
    YAGURA_RETURN_IF_ERROR(Play(lines));
    YAGURA_RETURN_IF_ERROR(Await("the events to be searchable", [&]() -> absl::StatusOr<bool> {
      YAGURA_ASSIGN_OR_RETURN(const uint64_t now, CountEvents(""));
      return now >= before + lines.size();
    }));
    Write(fmt::format("Played {} lines of a FortiGate over syslog TCP.\n", lines.size()));
    YAGURA_RETURN_IF_ERROR(AwaitCase());
    YAGURA_RETURN_IF_ERROR(MakeReport());
    return Summary();
  }

 private:
  absl::Status CreateCustomer() {
    directory::v1::CreateTenantRequest tenant;
    tenant.set_tenant_id(kTenant);
    tenant.mutable_tenant()->set_display_name("Acme K.K. (demo)");
    tenant.mutable_tenant()->set_time_zone("Asia/Tokyo");
    tenant.mutable_tenant()->set_language("en");
    YAGURA_RETURN_IF_ERROR(
        IgnoreExisting(client_.Call(&DirectoryService::Stub::CreateTenant, tenant).status()));
    directory::v1::CreateSiteRequest site;
    site.set_parent(kParent);
    site.set_site_id("hq");
    site.mutable_site()->set_display_name("Head office");
    site.mutable_site()->add_networks("10.1.0.0/16");
    YAGURA_RETURN_IF_ERROR(
        IgnoreExisting(client_.Call(&DirectoryService::Stub::CreateSite, site).status()));
    directory::v1::CreateSourceRequest source;
    source.set_parent(kParent);
    source.set_source_id("fw-1");
    source.mutable_source()->mutable_match()->set_device_serial(kSerial);
    source.mutable_source()->set_site("hq");
    source.mutable_source()->set_device("fw-1");
    YAGURA_RETURN_IF_ERROR(
        IgnoreExisting(client_.Call(&DirectoryService::Stub::CreateSource, source).status()));
    notification::v1::CreateContactRequest contact;
    contact.set_parent(kParent);
    contact.set_contact_id("soc");
    contact.mutable_contact()->set_display_name("SOC on duty");
    contact.mutable_contact()->set_email("soc@example.jp");
    YAGURA_RETURN_IF_ERROR(
        IgnoreExisting(client_.Call(&NotificationService::Stub::CreateContact, contact).status()));
    notification::v1::CreateRouteRequest route;
    route.set_parent(kParent);
    route.set_route_id("grave");
    route.mutable_route()->set_display_name("What is grave goes to the SOC");
    route.mutable_route()->set_min_severity(kRouteSeverity);
    route.mutable_route()->add_contacts("tenants/acme/contacts/soc");
    YAGURA_RETURN_IF_ERROR(
        IgnoreExisting(client_.Call(&NotificationService::Stub::CreateRoute, route).status()));
    Write("There is the customer acme with a site, a log source, a contact and a route.\n");
    return absl::OkStatus();
  }

  absl::StatusOr<SyslogSender> Connect() const {
    YAGURA_ASSIGN_OR_RETURN(const auto endpoints, ReadEndpoints(data_dir_));
    const auto at = endpoints.find("syslog_tcp");
    if (at == endpoints.end()) return Unavailable("NO_ENDPOINT", "no syslog listener over TCP");
    return SyslogSender::Connect(at->second, SyslogSender::Transport::kTcp);
  }

  absl::StatusOr<uint64_t> CountEvents(const std::string& filter) {
    archive::v1::CountEventsRequest request;
    request.set_parent(kParent);
    request.set_filter(filter);
    YAGURA_ASSIGN_OR_RETURN(const auto response,
                            client_.Call(&ArchiveService::Stub::CountEvents, request));
    return response.total();
  }

  // Ingestion learns of a new source within seconds; lines before that would wait in quarantine.
  absl::Status AwaitMapping(const std::string& line) {
    YAGURA_ASSIGN_OR_RETURN(const uint64_t before, CountEvents(""));
    auto next = std::chrono::steady_clock::now();
    return Await("the log source to be known", [&]() -> absl::StatusOr<bool> {
      if (std::chrono::steady_clock::now() >= next) {
        next += std::chrono::seconds(2);
        YAGURA_ASSIGN_OR_RETURN(auto probe, Connect());
        YAGURA_RETURN_IF_ERROR(probe.Send(line));
        YAGURA_RETURN_IF_ERROR(probe.Finish());
      }
      YAGURA_ASSIGN_OR_RETURN(const uint64_t events, CountEvents(""));
      return events > before;
    });
  }

  absl::Status Play(const std::vector<std::string>& lines) const {
    YAGURA_ASSIGN_OR_RETURN(auto sender, Connect());
    for (const auto& line : lines) YAGURA_RETURN_IF_ERROR(sender.Send(line));
    return sender.Finish();
  }

  // All pages, merged into one.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> List(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*)) {
    Request request;
    request.set_parent(kParent);
    request.set_page_size(500);
    Response all;
    do {
      YAGURA_ASSIGN_OR_RETURN(const Response page, client_.Call(method, request));
      all.clear_next_page_token();
      all.MergeFrom(page);
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    return all;
  }

  // What must hold in the end, whether the matters are new or were there from an earlier run: each
  // finding has its alert and its ticket, and of each alert that the route is for somebody was
  // told.
  bool IsToldOf() const {
    std::set<std::string> in_alerts;
    std::set<std::string> in_tickets;
    std::set<std::string> told;
    for (const auto& alert : alerts_.alerts()) {
      in_alerts.insert(alert.findings().begin(), alert.findings().end());
    }
    for (const auto& ticket : tickets_.tickets()) {
      in_tickets.insert(ticket.findings().begin(), ticket.findings().end());
    }
    for (const auto& delivery : deliveries_.deliveries()) {
      if (delivery.state() == notification::v1::DELIVERED) told.insert(delivery.alert());
    }
    return !findings_.findings().empty() &&
           std::ranges::all_of(findings_.findings(),
                               [&](const auto& finding) {
                                 return in_alerts.contains(finding.name()) &&
                                        (finding.severity() < kTicketSeverity ||
                                         in_tickets.contains(finding.name()));
                               }) &&
           std::ranges::all_of(alerts_.alerts(), [&](const auto& alert) {
             return alert.severity() < kRouteSeverity || told.contains(alert.name());
           });
  }

  // What has come so far, as a number that grows with everything that comes.
  uint64_t News() const {
    uint64_t news = 0;
    for (const int count : {findings_.findings_size(), alerts_.alerts_size(),
                            tickets_.tickets_size(), deliveries_.deliveries_size()}) {
      news += static_cast<uint64_t>(count);
    }
    for (const auto& finding : findings_.findings()) news += finding.event_count();
    for (const auto& alert : alerts_.alerts()) news += alert.event_count();
    for (const auto& ticket : tickets_.tickets()) news += ticket.event_count();
    return news;
  }

  // Until everybody is told, and nothing has come for a while: some rules count over a window.
  absl::Status AwaitCase() {
    constexpr std::chrono::seconds kQuiet{3};
    std::optional<uint64_t> seen;
    auto last_news = std::chrono::steady_clock::now();
    return Await("findings, alerts, mails and tickets", [&]() -> absl::StatusOr<bool> {
      YAGURA_ASSIGN_OR_RETURN(findings_, List(&DetectionService::Stub::ListFindings));
      YAGURA_ASSIGN_OR_RETURN(alerts_, List(&NotificationService::Stub::ListAlerts));
      YAGURA_ASSIGN_OR_RETURN(deliveries_, List(&NotificationService::Stub::ListDeliveries));
      YAGURA_ASSIGN_OR_RETURN(tickets_, List(&TicketingService::Stub::ListTickets));
      const uint64_t news = News();
      if (std::exchange(seen, news) != news) last_news = std::chrono::steady_clock::now();
      return IsToldOf() && std::chrono::steady_clock::now() - last_news >= kQuiet;
    });
  }

  absl::Status MakeReport() {
    reporting::v1::CreateReportRequest request;
    request.set_parent(kParent);
    // The month in the customer's time zone.
    request.set_month(date::format("%Y-%m", SystemClock()->Now() + std::chrono::hours(9)));
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(const auto report,
                            client_.Call(&ReportingService::Stub::CreateReport, request));
    reporting::v1::GetReportRequest get;
    get.set_name(report.name());
    YAGURA_RETURN_IF_ERROR(Await("the report", [&]() -> absl::StatusOr<bool> {
      YAGURA_ASSIGN_OR_RETURN(const auto now,
                              client_.Call(&ReportingService::Stub::GetReport, get));
      if (now.state() == reporting::v1::FAILED) return Internal(now.error());
      return now.state() == reporting::v1::READY;
    }));
    reporting::v1::DownloadReportRequest download;
    download.set_name(report.name());
    download.set_format(reporting::v1::HTML);
    report_file_ = data_dir_ / "demo-report.html";
    std::ofstream file(report_file_, std::ios::trunc);
    YAGURA_RETURN_IF_ERROR(
        client_.ReadStream(&ReportingService::Stub::DownloadReport, download, false,
                           [&](const reporting::v1::DownloadReportResponse& part) {
                             file << part.chunk();
                             return true;
                           }));
    return file.flush() ? absl::OkStatus() : Internal("cannot write " + report_file_.string());
  }

  // Those that this run made or made grow; the others are counted.
  std::string Findings() const {
    int shown = 0;
    std::string lines;
    for (const auto& finding : findings_.findings()) {
      if (FromProto(finding.update_time()) < started_) continue;
      ++shown;
      lines +=
          fmt::format("    {:<9} {} ({} events)\n", event::v1::Severity_Name(finding.severity()),
                      EscapeForTerminal(finding.title()), finding.event_count());
    }
    const int earlier = findings_.findings_size() - shown;
    return fmt::format("  {} findings{}:\n", shown,
                       earlier > 0 ? fmt::format(" ({} more of earlier runs)", earlier) : "") +
           lines;
  }

  absl::Status Summary() {
    archive::v1::CountEventsRequest request;
    request.set_parent(kParent);
    request.add_group_by("action");
    YAGURA_ASSIGN_OR_RETURN(const auto by_action,
                            client_.Call(&ArchiveService::Stub::CountEvents, request));
    std::string text = fmt::format("\nWhat happened at {}:\n  {} events in the archive (", kTenant,
                                   by_action.total());
    std::vector<std::string> parts;
    for (const auto& group : by_action.groups()) {
      parts.push_back(fmt::format("{} {}", group.count(),
                                  group.values(0).empty() ? "without" : group.values(0)));
    }
    text += Join(parts, ", ") + ")\n";
    text += Findings();
    text += fmt::format("  {} alerts, {} messages delivered, {} tickets\n", alerts_.alerts_size(),
                        deliveries_.deliveries_size(), tickets_.tickets_size());
    text += fmt::format("  report: {}\n", report_file_.string());
    const std::string yagura = fmt::format("yagura --data-dir {}", data_dir_.string());
    text += "\nLook closer:\n";
    for (const auto& [command, why] : std::vector<std::pair<std::string, std::string>>{
             {"event search 'action = BLOCKED' --limit 5", "what the firewall stopped"},
             {"event count --by src.ip --filter 'dst.port = 22'", "who tried what"},
             {"finding list", "what the rules found"},
             {"alert list", "what somebody has to look at"},
             {"alert ack NAME --comment 'looking'", "say that you do"},
             {"ticket list", "the cases, with evidence in `ticket get NAME`"},
             {"delivery list", "who was told, every attempt"},
             {"audit list --tenant acme --limit 10", "who did what"},
             {"down", "stop everything"}}) {
      text += fmt::format("  {} {:<52}  # {}\n", yagura, command, why);
    }
    Write(text);
    return absl::OkStatus();
  }

  Client& client_;
  const std::filesystem::path data_dir_;
  const std::filesystem::path samples_;
  std::filesystem::path report_file_;
  TimePoint started_;
  detection::v1::ListFindingsResponse findings_;
  notification::v1::ListAlertsResponse alerts_;
  notification::v1::ListDeliveriesResponse deliveries_;
  ticketing::v1::ListTicketsResponse tickets_;
};

}  // namespace

void AddDemoCommand(Program& program) {
  auto samples = std::make_shared<std::string>();
  CLI::App& command = *program.app().add_subcommand(
      "demo", "Make a customer, play sample logs, and tell what came of them (needs --data-dir)");
  command.add_option("--samples", *samples,
                     "FortiGate lines to play; else the sample that comes with Yagura");
  program.DoConnected(command, [&program, samples](Client& client) -> absl::Status {
    std::string data_dir = program.globals().connection.data_dir;
    if (data_dir.empty() && std::getenv("YAGURA_DATA_DIR") != nullptr) {
      data_dir = std::getenv("YAGURA_DATA_DIR");
    }
    if (data_dir.empty()) return InvalidField("data_dir", "--data-dir is needed");
    const std::filesystem::path lines = samples->empty()
                                            ? FindContent({}) / "samples" / "fortigate.log"
                                            : std::filesystem::path(*samples);
    return Demo(client, data_dir, lines).Run();
  });
}

}  // namespace yagura::cli
