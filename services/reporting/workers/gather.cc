#include "services/reporting/workers/gather.h"

#include "fmt/format.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"

#include "common/clock/proto_time.h"
#include "common/rpc/channels.h"
#include "common/status/status.h"
#include "yagura/archive/v1/archive_service.grpc.pb.h"
#include "yagura/config/v1/config_service.grpc.pb.h"
#include "yagura/coverage/v1/coverage_service.grpc.pb.h"
#include "yagura/detection/v1/detection_service.grpc.pb.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"
#include "yagura/ticketing/v1/ticketing_service.grpc.pb.h"

namespace yagura::reporting {
namespace {

using archive::v1::ArchiveService;
using config::v1::ConfigService;
using coverage::v1::CoverageService;
using detection::v1::DetectionService;
using directory::v1::DirectoryService;
using ticketing::v1::TicketingService;

constexpr std::chrono::seconds kTimeout{60};
constexpr int kPageSize = 1000;
constexpr size_t kMaxItems = 100'000;  // of one list: a report is no export
constexpr int kActionGroups = 20;
constexpr int kSignatureGroups = 1000;

class Gatherer {
 public:
  Gatherer(rpc::Channels& channels, const std::string& tenant)
      : channels_(channels), tenant_(tenant), parent_("tenants/" + tenant) {}

  template <typename Service, typename Request, typename Response>
  absl::StatusOr<Response> Call(std::string_view service,
                                grpc::Status (Service::Stub::*method)(grpc::ClientContext*,
                                                                      const Request&, Response*),
                                const Request& request) {
    const auto stub = Service::NewStub(channels_.Get(service));
    grpc::ClientContext context;
    channels_.PrepareAs(context, tenant_, kTimeout);
    Response response;
    const auto status = ((*stub).*method)(&context, request, &response);
    if (!status.ok()) return Annotate(rpc::FromGrpc(status), service);
    return response;
  }

  // All items of a list, page after page.
  template <typename Service, typename Item, typename Request, typename Response>
  absl::StatusOr<std::vector<Item>> All(
      std::string_view service,
      grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
      const google::protobuf::RepeatedPtrField<Item>& (Response::*items)() const,
      const std::string& filter) {
    Request request;
    request.set_parent(parent_);
    request.set_filter(filter);
    request.set_page_size(kPageSize);
    std::vector<Item> all;
    do {
      YAGURA_ASSIGN_OR_RETURN(const auto page, (Call<Service>(service, method, request)));
      const auto& found = (page.*items)();
      all.insert(all.end(), found.begin(), found.end());
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty() && all.size() < kMaxItems);
    return all;
  }

  absl::StatusOr<archive::v1::CountEventsResponse> Count(const Month& month, const char* group,
                                                         int limit, bool skip_missing) {
    archive::v1::CountEventsRequest request;
    request.set_parent(parent_);
    *request.mutable_range()->mutable_start_time() = ToProto(month.start);
    *request.mutable_range()->mutable_end_time() = ToProto(month.end);
    request.add_group_by(group);
    request.set_limit(limit);
    request.set_skip_missing(skip_missing);
    return Call<ArchiveService>("archive", &ArchiveService::Stub::CountEvents, request);
  }

  absl::StatusOr<std::vector<ticketing::v1::Ticket>> Tickets(const std::string& filter) {
    return All<TicketingService>("ticketing", &TicketingService::Stub::ListTickets,
                                 &ticketing::v1::ListTicketsResponse::tickets, filter);
  }

  absl::StatusOr<MonthEvidence> OfMonth(const Month& month) {
    MonthEvidence evidence;
    YAGURA_ASSIGN_OR_RETURN(evidence.by_action, Count(month, "action", kActionGroups, false));
    YAGURA_ASSIGN_OR_RETURN(evidence.by_signature,
                            Count(month, "signature", kSignatureGroups, true));
    YAGURA_ASSIGN_OR_RETURN(evidence.by_severity, Count(month, "severity", kActionGroups, false));
    YAGURA_ASSIGN_OR_RETURN(
        evidence.findings,
        (All<DetectionService>("detection", &DetectionService::Stub::ListFindings,
                               &detection::v1::ListFindingsResponse::findings,
                               Within("create_time", month) + " AND NOT untold = true")));
    YAGURA_ASSIGN_OR_RETURN(evidence.opened_tickets, Tickets(Within("create_time", month)));
    YAGURA_ASSIGN_OR_RETURN(const auto resolved, Tickets(Within("resolve_time", month)));
    evidence.resolved_tickets = resolved.size();
    return evidence;
  }

  absl::StatusOr<archive::v1::GetCoverageResponse> Coverage(const Month& month) {
    archive::v1::GetCoverageRequest request;
    request.set_parent(parent_);
    *request.mutable_range()->mutable_start_time() = ToProto(month.start);
    *request.mutable_range()->mutable_end_time() = ToProto(month.end);
    return Call<ArchiveService>("archive", &ArchiveService::Stub::GetCoverage, request);
  }

  absl::StatusOr<std::vector<coverage::v1::Coverage>> Intake(const Month& month) {
    coverage::v1::ListCoverageRequest request;
    request.set_parent(parent_);
    request.set_page_size(kPageSize);
    *request.mutable_range()->mutable_start_time() = ToProto(month.start);
    *request.mutable_range()->mutable_end_time() = ToProto(month.end);
    std::vector<coverage::v1::Coverage> all;
    do {
      YAGURA_ASSIGN_OR_RETURN(
          const auto page,
          Call<CoverageService>("archive", &CoverageService::Stub::ListCoverage, request));
      all.insert(all.end(), page.coverages().begin(), page.coverages().end());
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty() && all.size() < kMaxItems);
    return all;
  }

  absl::StatusOr<std::vector<config::v1::Change>> FinishedChanges(const Month& month) {
    return All<ConfigService>("config", &ConfigService::Stub::ListChanges,
                              &config::v1::ListChangesResponse::changes,
                              fmt::format("state = (VERIFIED OR ROLLED_BACK OR FAILED) AND {}",
                                          Within("update_time", month)));
  }

  static std::string Within(const char* field, const Month& month) {
    return fmt::format("{0} >= \"{1}\" AND {0} < \"{2}\"", field, FormatTime(month.start),
                       FormatTime(month.end));
  }

 private:
  rpc::Channels& channels_;
  const std::string tenant_;
  const std::string parent_;
};

}  // namespace

absl::StatusOr<directory::v1::Tenant> GetTenant(rpc::Channels& channels,
                                                const std::string& tenant) {
  directory::v1::GetTenantRequest request;
  request.set_name("tenants/" + tenant);
  return Gatherer(channels, tenant)
      .Call<DirectoryService>("directory", &DirectoryService::Stub::GetTenant, request);
}

absl::StatusOr<Evidence> Gather(rpc::Channels& channels, const std::string& tenant,
                                const std::string& month,
                                const std::function<void(double)>& progress) {
  Gatherer gatherer(channels, tenant);
  Evidence evidence;
  YAGURA_ASSIGN_OR_RETURN(evidence.tenant, GetTenant(channels, tenant));
  YAGURA_ASSIGN_OR_RETURN(evidence.month, ParseMonth(month, evidence.tenant.time_zone()));
  YAGURA_ASSIGN_OR_RETURN(const auto before, MonthBefore(evidence.month));
  progress(0.1);
  YAGURA_ASSIGN_OR_RETURN(evidence.current, gatherer.OfMonth(evidence.month));
  progress(0.5);
  YAGURA_ASSIGN_OR_RETURN(evidence.previous, gatherer.OfMonth(before));
  progress(0.8);
  YAGURA_ASSIGN_OR_RETURN(evidence.coverage, gatherer.Coverage(evidence.month));
  YAGURA_ASSIGN_OR_RETURN(evidence.intake, gatherer.Intake(evidence.month));
  YAGURA_ASSIGN_OR_RETURN(evidence.open_tickets, gatherer.Tickets(fmt::format(
                                                     "create_time < \"{}\" AND NOT state = CLOSED",
                                                     FormatTime(evidence.month.start))));
  YAGURA_ASSIGN_OR_RETURN(evidence.finished_changes, gatherer.FinishedChanges(evidence.month));
  progress(0.9);
  return evidence;
}

}  // namespace yagura::reporting
