#include "tests/e2e/customer.h"

#include <fstream>

#include "fmt/format.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"

#include "yagura/archive/v1/archive_service.grpc.pb.h"
#include "yagura/detection/v1/detection_service.grpc.pb.h"
#include "yagura/notification/v1/notification_service.grpc.pb.h"
#include "yagura/ticketing/v1/ticketing_service.grpc.pb.h"

namespace yagura::e2e {
namespace {

using archive::v1::ArchiveService;
using detection::v1::DetectionService;
using notification::v1::NotificationService;
using ticketing::v1::TicketingService;

constexpr char kParent[] = "tenants/acme";

std::vector<std::string> CreateSource(const std::string& tenant, const std::string& id,
                                      const std::string& serial) {
  return {"source", "create", id,   "--tenant", tenant, "--serial",
          serial,   "--site", "hq", "--device", id};
}

void CreateTenant(const SuiteProcess& suite, const std::string& id) {
  suite.Run(
      {"tenant", "create", id, "--display-name", id, "--time-zone", "UTC", "--language", "en"});
  suite.Run({"site", "create", "hq", "--tenant", id, "--display-name", "Head office"});
}

}  // namespace

Customer::Customer(SuiteProcess& suite, const std::vector<Traffic::Firewall>& firewalls)
    : suite_(suite), client_(suite.Connect()) {
  CreateTenant(suite, "acme");
  for (const auto& firewall : firewalls) {
    suite.Run(CreateSource("acme", firewall.id, firewall.serial));
  }
  suite.Run({"contact", "create", "soc", "--tenant", "acme", "--display-name", "SOC on duty",
             "--email", kMailbox});
  suite.Run({"route", "create", "grave", "--tenant", "acme", "--contact", "soc", "--min-severity",
             "HIGH"});

  // Ingestion learns of sources every few seconds, of all at once: when it knows that of another
  // customer, made last, it knows ours, and no probe is among our events.
  CreateTenant(suite, "aaa-probe");
  suite.Run(CreateSource("aaa-probe", "probe", "FGT60FTK0000PROBE"));
  const auto file = suite.data_dir() / "probe.log";
  std::ofstream(file) << "<189>date=2026-01-01 time=00:00:00 devname=\"probe\" "
                         "devid=\"FGT60FTK0000PROBE\" type=\"event\" subtype=\"system\" "
                         "level=\"notice\" vd=\"root\" action=\"perf-stats\"\n";
  archive::v1::CountEventsRequest count;
  count.set_parent("tenants/aaa-probe");
  const bool known = Eventually(std::chrono::seconds(30), [&] {
    suite.Run({"send", "--to", "grpc", file.string()});
    const auto response = client_.Call(&ArchiveService::Stub::CountEvents, count);
    return response.ok() && response->total() > 0;
  });
  EXPECT_TRUE(known) << "ingestion does not learn of new sources";
}

template <typename Item, typename Stub, typename Request, typename Response>
std::optional<std::vector<Item>> Customer::ListAll(
    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
    const google::protobuf::RepeatedPtrField<Item>& (Response::*items)() const) {
  std::vector<Item> all;
  Request request;
  request.set_parent(kParent);
  request.set_page_size(1000);
  do {
    const auto response = client_.Call(method, request);
    if (!response.ok()) return std::nullopt;
    all.insert(all.end(), ((*response).*items)().begin(), ((*response).*items)().end());
    request.set_page_token(response->next_page_token());
  } while (!request.page_token().empty());
  return all;
}

std::optional<std::vector<detection::v1::Finding>> Customer::Findings() {
  return ListAll(&DetectionService::Stub::ListFindings,
                 &detection::v1::ListFindingsResponse::findings);
}

std::optional<std::vector<notification::v1::Alert>> Customer::Alerts() {
  return ListAll(&NotificationService::Stub::ListAlerts,
                 &notification::v1::ListAlertsResponse::alerts);
}

std::optional<std::vector<notification::v1::Delivery>> Customer::Deliveries() {
  return ListAll(&NotificationService::Stub::ListDeliveries,
                 &notification::v1::ListDeliveriesResponse::deliveries);
}

std::optional<std::vector<ticketing::v1::Ticket>> Customer::Tickets() {
  return ListAll(&TicketingService::Stub::ListTickets,
                 &ticketing::v1::ListTicketsResponse::tickets);
}

std::optional<uint64_t> Customer::CountEvents(const std::string& filter) {
  archive::v1::CountEventsRequest request;
  request.set_parent(kParent);
  request.set_filter(filter);
  const auto response = client_.Call(&ArchiveService::Stub::CountEvents, request);
  if (!response.ok()) return std::nullopt;
  return response->total();
}

std::optional<std::vector<event::v1::Event>> Customer::Search(const std::string& filter) {
  std::vector<event::v1::Event> all;
  archive::v1::SearchEventsRequest request;
  request.set_parent(kParent);
  request.set_filter(filter);
  request.set_page_size(10'000);
  do {
    std::string next;
    const absl::Status status = client_.ReadStream(
        &ArchiveService::Stub::SearchEvents, request, false,
        [&](const archive::v1::SearchEventsResponse& response) {
          all.insert(all.end(), response.events().begin(), response.events().end());
          next = response.next_page_token();
          return true;
        });
    if (!status.ok()) return std::nullopt;
    request.set_page_token(next);
  } while (!request.page_token().empty());
  return all;
}

reporting::v1::ReportContent Customer::Report() {
  const auto file = suite_.data_dir() / "report.json";
  suite_.Run({"report", "run", "--tenant", "acme", "--json", file.string()});
  reporting::v1::ReportContent content;
  const auto status = google::protobuf::util::JsonStringToMessage(ReadAll(file), &content);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return content;
}

}  // namespace yagura::e2e
