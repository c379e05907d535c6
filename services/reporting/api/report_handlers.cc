#include "services/reporting/api/report_handlers.h"

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "common/text/text.h"
#include "services/reporting/domain/month.h"

namespace yagura::reporting {
namespace {

constexpr size_t kChunkBytes = 256 * 1024;

bool IsFinished(const v1::Report& report) {
  return report.state() == v1::READY || report.state() == v1::FAILED;
}

}  // namespace

absl::StatusOr<v1::Report> ReportHandlers::Create(const rpc::Call& call,
                                                  const v1::CreateReportRequest& request) const {
  if (call.all_tenants()) return InvalidField("parent", "must name one tenant");
  YAGURA_ASSIGN_OR_RETURN(const auto time_zone, parts_.time_zone_of(call.tenant()));
  YAGURA_ASSIGN_OR_RETURN(const auto month, ParseMonth(request.month(), time_zone));
  const TimePoint now = parts_.clock->Now();
  if (month.start > now) return InvalidField("month", "lies in the future");
  v1::Report report;
  report.set_name(
      fmt::format("tenants/{}/reports/{}-{}", call.tenant(), month.text, store::NewUlid()));
  report.set_month(month.text);
  report.set_state(v1::QUEUED);
  *report.mutable_start_time() = ToProto(month.start);
  *report.mutable_end_time() = ToProto(month.end);
  report.set_requester(call.principal().name);
  report.set_preliminary(now < month.end);
  YAGURA_ASSIGN_OR_RETURN(report, parts_.reports->Create(call.write_context(), std::move(report)));
  // A repeat of the request enqueues again, which does no harm: a finished report is left alone.
  YAGURA_RETURN_IF_ERROR(parts_.enqueue(report.name()));
  return report;
}

absl::StatusOr<v1::Report> ReportHandlers::Get(const rpc::Call& /*call*/,
                                               const v1::GetReportRequest& request) const {
  return parts_.reports->Get(request.name());
}

absl::StatusOr<v1::ListReportsResponse> ReportHandlers::List(
    const rpc::Call& call, const v1::ListReportsRequest& request) const {
  store::ListQuery query{
      .parent = request.parent(),
      .filter = request.filter(),
      .order_by = request.order_by().empty() ? "create_time desc" : request.order_by(),
      .page_size = request.page_size(),
      .page_token = request.page_token()};
  store::TenantScope scope;
  if (call.all_tenants()) {
    const auto visible = call.scope();
    scope = {.all = visible.all, .tenants = visible.tenants};
  }
  YAGURA_ASSIGN_OR_RETURN(auto page, call.all_tenants() ? parts_.projection->List(query, scope)
                                                        : parts_.reports->List(query));
  v1::ListReportsResponse response;
  for (auto& report : page.items) *response.add_reports() = std::move(report);
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<std::shared_ptr<void>> ReportHandlers::Watch(
    const rpc::Call& call, const v1::WatchReportRequest& request,
    const rpc::Outbox<v1::WatchReportResponse>& outbox) const {
  const auto send = [outbox](const v1::Report& report) {
    v1::WatchReportResponse response;
    *response.mutable_report() = report;
    outbox.Push(std::move(response));
    if (IsFinished(report)) outbox.Finish(absl::OkStatus());
  };
  // Subscribed before it is read: nothing is missed in between.
  auto subscription = parts_.projection->Watch(
      {.all = false, .tenants = {call.tenant()}},
      [name = request.name(), send](const audit::v1::Record& record, const v1::Report* report) {
        if (record.resource() == name && report != nullptr) send(*report);
      });
  YAGURA_ASSIGN_OR_RETURN(const auto report, parts_.reports->Get(request.name()));
  send(report);
  return subscription;
}

absl::Status ReportHandlers::Download(const rpc::Call& call,
                                      const v1::DownloadReportRequest& request,
                                      const rpc::Outbox<v1::DownloadReportResponse>& outbox) const {
  if (!v1::ReportFormat_IsValid(request.format())) return InvalidField("format", "is no format");
  YAGURA_ASSIGN_OR_RETURN(const auto report, parts_.reports->Get(request.name()));
  if (report.state() != v1::READY) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "REPORT_NOT_READY",
                     fmt::format("{} is {}", report.name(), v1::ReportState_Name(report.state())));
  }
  const auto& digest = request.format() == v1::HTML ? report.html_digest() : report.json_digest();
  YAGURA_ASSIGN_OR_RETURN(const auto file, parts_.files->Get(HexEncode(digest)));
  for (size_t at = 0; at < file.size(); at += kChunkBytes) {
    v1::DownloadReportResponse response;
    response.set_chunk(file.substr(at, kChunkBytes));
    if (!outbox.PushWhenRoom(std::move(response))) {
      return absl::CancelledError("the caller of " + call.method() + " has gone");
    }
  }
  return absl::OkStatus();
}

}  // namespace yagura::reporting
