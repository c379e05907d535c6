#include "services/detection/workers/observation_reader.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "fmt/format.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"

#include "common/clock/proto_time.h"
#include "common/rpc/channels.h"
#include "common/status/status.h"
#include "common/text/printable.h"
#include "common/text/text.h"
#include "services/detection/domain/observation/matters.h"
#include "yagura/archive/v1/archive_service.grpc.pb.h"
#include "yagura/config/v1/config_service.grpc.pb.h"
#include "yagura/coverage/v1/coverage_service.grpc.pb.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"

namespace yagura::detection {
namespace {

using archive::v1::ArchiveService;
using config::v1::ConfigService;
using coverage::v1::CoverageService;
using directory::v1::DirectoryService;

constexpr std::chrono::seconds kTimeout{60};
constexpr int kMeasuresPage = 10'000;
constexpr int kPage = 1'000;
constexpr int kTop = 5;
constexpr size_t kMostValue = 256;
constexpr int kMostChanges = 10;
// Rows of a question: the devices of a tenant are some thousands at most.
constexpr size_t kMostRows = 2'000'000;

// What devices write when their signatures were updated, in the grammar of the archive: FortiGate,
// Palo Alto, Cisco Firepower, Suricata.
constexpr std::string_view kSignatureUpdates =
    "category != \"traffic\" AND (vendor_event_id = \"0100041000\" OR "
    "fields.logdesc = \"FortiGate update succeeded\" OR \"content update job succeeded\" OR "
    "\"installed content package\" OR \"rule update installed\" OR \"rule reload complete\")";

TimePoint TimeOf(int64_t hour) { return TimePoint(std::chrono::hours(hour)); }

void SetRange(TimePoint start, TimePoint end, archive::v1::TimeRange* range) {
  *range->mutable_start_time() = ToProto(start);
  *range->mutable_end_time() = ToProto(end);
}

// Which method a request goes to.
template <typename Request>
struct MethodOf;
template <>
struct MethodOf<archive::v1::ListHourlyMeasuresRequest> {
  static constexpr auto kMethod = &ArchiveService::Stub::ListHourlyMeasures;
};
template <>
struct MethodOf<archive::v1::AggregateEventsRequest> {
  static constexpr auto kMethod = &ArchiveService::Stub::AggregateEvents;
};
template <>
struct MethodOf<archive::v1::ListFlowsRequest> {
  static constexpr auto kMethod = &ArchiveService::Stub::ListFlows;
};
template <>
struct MethodOf<archive::v1::ListPeriodicFlowsRequest> {
  static constexpr auto kMethod = &ArchiveService::Stub::ListPeriodicFlows;
};
template <>
struct MethodOf<coverage::v1::ListCoverageRequest> {
  static constexpr auto kMethod = &CoverageService::Stub::ListCoverage;
};
template <>
struct MethodOf<config::v1::ListChangesRequest> {
  static constexpr auto kMethod = &ConfigService::Stub::ListChanges;
};
template <>
struct MethodOf<directory::v1::GetTenantRequest> {
  static constexpr auto kMethod = &DirectoryService::Stub::GetTenant;
};
template <>
struct MethodOf<directory::v1::ListSitesRequest> {
  static constexpr auto kMethod = &DirectoryService::Stub::ListSites;
};

std::string FilterOf(const DeviceKey& device, std::string_view events) {
  return fmt::format("({}) AND device = {} AND site = {}", events, FilterValue(device.device),
                     FilterValue(device.site));
}

v1::Contributor MakeContributor(const std::string& field, const std::string& value,
                                uint64_t amount) {
  v1::Contributor contributor;
  contributor.set_field(field);
  contributor.set_value(ToValidUtf8(value.substr(0, kMostValue)));
  contributor.set_amount(amount);
  return contributor;
}

}  // namespace

void ObservationReader::Prepare(const std::string& tenant, grpc::ClientContext& context) const {
  if (call_ != nullptr) {
    channels_->Prepare(context, *call_);
  } else {
    channels_->PrepareAs(context, tenant, kTimeout);
  }
}

template <typename Service, typename Request, typename Response>
absl::Status ObservationReader::Ask(std::string_view service, const std::string& tenant,
                                    const Request& request, Response* response) const {
  const auto stub = Service::NewStub(channels_->Get(service));
  grpc::ClientContext context;
  Prepare(tenant, context);
  const grpc::Status status = ((*stub).*MethodOf<Request>::kMethod)(&context, request, response);
  return status.ok() ? absl::OkStatus() : Annotate(rpc::FromGrpc(status), service);
}

absl::StatusOr<ObservationData::Zones> ObservationReader::ZonesOf(const std::string& tenant) const {
  Zones zones;
  directory::v1::GetTenantRequest request;
  request.set_name("tenants/" + tenant);
  directory::v1::Tenant found;
  YAGURA_RETURN_IF_ERROR(Ask<DirectoryService>("directory", tenant, request, &found));
  zones.tenant = found.time_zone();
  directory::v1::ListSitesRequest sites;
  sites.set_parent(request.name());
  sites.set_page_size(kPage);
  do {
    directory::v1::ListSitesResponse page;
    YAGURA_RETURN_IF_ERROR(Ask<DirectoryService>("directory", tenant, sites, &page));
    for (const auto& site : page.sites()) {
      if (site.time_zone().empty()) continue;
      zones.sites[site.name().substr(site.name().rfind('/') + 1)] = site.time_zone();
    }
    sites.set_page_token(page.next_page_token());
  } while (!sites.page_token().empty());
  return zones;
}

absl::Status ObservationReader::ReadHours(const std::string& tenant,
                                          const std::vector<HourRange>& ranges,
                                          const std::string& device, ObservedHours* hours) const {
  size_t rows = 0;
  const auto count = [&rows](int more) -> absl::Status {
    rows += static_cast<size_t>(more);
    if (rows <= kMostRows) return absl::OkStatus();
    return MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_DEVICES",
                     "the tenant has more hours of devices than can be judged");
  };
  for (const HourRange& range : ranges) {
    archive::v1::ListHourlyMeasuresRequest measures;
    measures.set_parent("tenants/" + tenant);
    measures.set_page_size(kMeasuresPage);
    SetRange(TimeOf(range.first), TimeOf(range.last + 1), measures.mutable_range());
    if (!device.empty()) measures.set_filter("device = " + FilterValue(device));
    do {
      archive::v1::ListHourlyMeasuresResponse page;
      YAGURA_RETURN_IF_ERROR(Ask<ArchiveService>("archive", tenant, measures, &page));
      YAGURA_RETURN_IF_ERROR(count(page.measures_size()));
      if (page.has_known_since()) {
        const auto since =
            std::chrono::ceil<std::chrono::hours>(FromProto(page.known_since())).time_since_epoch();
        hours->SetKnownSince(since.count());
      }
      for (const auto& one : page.measures()) hours->Add(one);
      measures.set_page_token(page.next_page_token());
    } while (!measures.page_token().empty());
    coverage::v1::ListCoverageRequest coverage;
    coverage.set_parent(measures.parent());
    coverage.set_page_size(kPage);
    coverage.set_period(coverage::v1::HOUR);
    coverage.set_filter(measures.filter());
    *coverage.mutable_range() = measures.range();
    do {
      coverage::v1::ListCoverageResponse page;
      YAGURA_RETURN_IF_ERROR(Ask<CoverageService>("archive", tenant, coverage, &page));
      YAGURA_RETURN_IF_ERROR(count(page.coverages_size()));
      for (const auto& one : page.coverages()) hours->Add(one);
      coverage.set_page_token(page.next_page_token());
    } while (!coverage.page_token().empty());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<v1::Contributor>> ObservationReader::Contributors(
    const std::string& tenant, const DeviceKey& device, const MeasureFacts& measure,
    int64_t hour) const {
  std::vector<v1::Contributor> contributors;
  for (const ContributorQuestion& question : measure.contributors) {
    archive::v1::AggregateEventsRequest request;
    request.set_parent("tenants/" + tenant);
    request.set_filter(FilterOf(device, measure.filter));
    SetRange(TimeOf(hour), TimeOf(hour + 1), request.mutable_range());
    request.mutable_range()->set_basis(archive::v1::HAPPENED);
    request.add_group_by(question.field);
    request.set_limit(kTop);
    request.set_skip_missing(true);
    if (!question.aggregate.empty()) {
      auto* aggregate = request.add_aggregates();
      aggregate->set_name("amount");
      aggregate->set_field(question.aggregate);
      aggregate->set_function(question.aggregate == "bytes_out" ? archive::v1::SUM
                                                                : archive::v1::DISTINCT);
      request.set_order_by("amount desc");
    }
    archive::v1::AggregateEventsResponse response;
    YAGURA_RETURN_IF_ERROR(Ask<ArchiveService>("archive", tenant, request, &response));
    for (const auto& row : response.rows()) {
      if (row.values_size() != 1) continue;
      const uint64_t amount = row.results().empty() ? row.count() : row.results(0).count();
      contributors.push_back(MakeContributor(question.field, row.values(0), amount));
    }
  }
  return contributors;
}

absl::StatusOr<std::vector<v1::Evidence>> ObservationReader::EventsOf(
    const std::string& tenant, const EventsQuestion& question) const {
  archive::v1::SearchEventsRequest request;
  request.set_parent("tenants/" + tenant);
  request.set_filter(question.filter);
  SetRange(question.start, question.end, request.mutable_range());
  request.mutable_range()->set_basis(question.basis);
  request.set_order_by("receive_time");
  request.set_page_size(question.most);
  const auto stub = ArchiveService::NewStub(channels_->Get("archive"));
  grpc::ClientContext context;
  Prepare(tenant, context);
  const auto reader = stub->SearchEvents(&context, request);
  std::vector<v1::Evidence> events;
  archive::v1::SearchEventsResponse page;
  while (reader->Read(&page)) {
    for (const auto& event : page.events()) {
      if (events.size() < static_cast<size_t>(question.most))
        events.push_back(EventEvidence(event));
    }
  }
  const grpc::Status status = reader->Finish();
  if (!status.ok()) return Annotate(rpc::FromGrpc(status), "archive");
  return events;
}

absl::StatusOr<std::vector<v1::KnownCause>> ObservationReader::Causes(const std::string& tenant,
                                                                      const std::string& device,
                                                                      TimePoint start,
                                                                      TimePoint end) const {
  std::vector<v1::KnownCause> causes;
  if (device.empty()) return causes;
  config::v1::ListChangesRequest changes;
  changes.set_parent("tenants/" + tenant);
  changes.set_page_size(kMostChanges);
  changes.set_filter(fmt::format(
      "device = {} AND state = (VERIFIED OR ROLLED_BACK OR FAILED OR APPLYING) AND update_time >= "
      "\"{}\"",
      FilterValue(fmt::format("tenants/{}/devices/{}", tenant, device)), FormatTime(start)));
  config::v1::ListChangesResponse applied;
  YAGURA_RETURN_IF_ERROR(Ask<ConfigService>("config", tenant, changes, &applied));
  for (const auto& change : applied.changes()) {
    const TimePoint at = FromProto(change.apply().start_time());
    if (!change.has_apply() || at < start || at >= end) continue;
    auto& cause = causes.emplace_back();
    cause.set_kind(v1::KnownCause::CHANGE_APPLIED);
    cause.set_resource(change.name());
    *cause.mutable_time() = change.apply().start_time();
    cause.set_text(fmt::format("the change \"{}\" was applied at {}",
                               Printable(change.title(), kMostValue), FormatTime(at)));
  }
  archive::v1::AggregateEventsRequest updates;
  updates.set_parent(changes.parent());
  updates.set_filter(fmt::format("{} AND device = {}", kSignatureUpdates, FilterValue(device)));
  SetRange(start, end, updates.mutable_range());
  auto* last = updates.add_aggregates();
  last->set_name("last");
  last->set_function(archive::v1::LAST_SEEN);
  archive::v1::AggregateEventsResponse told;
  YAGURA_RETURN_IF_ERROR(Ask<ArchiveService>("archive", tenant, updates, &told));
  if (told.total() > 0 && !told.rows().empty() && !told.rows(0).results().empty()) {
    auto& cause = causes.emplace_back();
    cause.set_kind(v1::KnownCause::SIGNATURE_UPDATE);
    *cause.mutable_time() = told.rows(0).results(0).time();
    cause.set_text(fmt::format("the device told of an update of its signatures, last at {}",
                               FormatTime(FromProto(cause.time()))));
  }
  return causes;
}

absl::StatusOr<std::vector<archive::v1::Flow>> ObservationReader::Flows(
    const std::string& tenant, const archive::v1::ListFlowsRequest& request) const {
  archive::v1::ListFlowsResponse response;
  YAGURA_RETURN_IF_ERROR(Ask<ArchiveService>("archive", tenant, request, &response));
  return std::vector<archive::v1::Flow>(response.flows().begin(), response.flows().end());
}

absl::StatusOr<std::vector<archive::v1::PeriodicFlow>> ObservationReader::PeriodicFlows(
    const std::string& tenant, const archive::v1::ListPeriodicFlowsRequest& request) const {
  archive::v1::ListPeriodicFlowsResponse response;
  YAGURA_RETURN_IF_ERROR(Ask<ArchiveService>("archive", tenant, request, &response));
  return std::vector<archive::v1::PeriodicFlow>(response.flows().begin(), response.flows().end());
}

}  // namespace yagura::detection
