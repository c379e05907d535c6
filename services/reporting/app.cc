#include "services/reporting/app.h"

#include "common/blob/blob_settings.h"
#include "common/rpc/channels.h"
#include "common/status/status.h"
#include "common/store/projection.h"
#include "services/reporting/api/report_handlers.h"
#include "services/reporting/storage/report_storage.h"
#include "services/reporting/workers/gather.h"
#include "services/reporting/workers/report_worker.h"

namespace yagura::reporting {
namespace {

class ReportingApp final : public rpc::App {
 public:
  ReportingApp(const Settings& settings, const rpc::Platform& platform,
               std::shared_ptr<blob::BlobStore> files)
      : reports_(std::make_shared<store::Store<v1::Report>>(platform.state, ReportKind(),
                                                            platform.clock)),
        worker_({.state = platform.state,
                 .reports = reports_,
                 .files = files,
                 .channels = platform.channels,
                 .clock = platform.clock,
                 .logger = platform.logger.Named("reporting"),
                 .instance = platform.HolderOf("reporting")},
                settings.workers),
        handlers_({.reports = reports_,
                   .projection =
                       std::make_shared<store::Projection<v1::Report>>(*reports_, platform.feed),
                   .files = files,
                   .clock = platform.clock,
                   .time_zone_of = [channels = platform.channels](
                                       const std::string& tenant) -> absl::StatusOr<std::string> {
                     YAGURA_ASSIGN_OR_RETURN(const auto found, GetTenant(*channels, tenant));
                     return found.time_zone();
                   },
                   .enqueue = [this](const std::string& name) { return worker_.Enqueue(name); }}) {}

  std::string_view name() const override { return "reporting"; }

  void Register(rpc::ServiceRegistry& registry) override {
    const std::string service = "/yagura.reporting.v1.ReportingService/";
    using rpc::Call;
    registry.Unary<v1::CreateReportRequest, v1::Report>(
        service + "CreateReport",
        [this](const Call& call, const auto& request) { return handlers_.Create(call, request); });
    registry.Unary<v1::GetReportRequest, v1::Report>(
        service + "GetReport",
        [this](const Call& call, const auto& request) { return handlers_.Get(call, request); });
    registry.Unary<v1::ListReportsRequest, v1::ListReportsResponse>(
        service + "ListReports",
        [this](const Call& call, const auto& request) { return handlers_.List(call, request); });
    registry.Watch<v1::WatchReportRequest, v1::WatchReportResponse>(
        service + "WatchReport", [this](const Call& call, const auto& request, const auto& outbox) {
          return handlers_.Watch(call, request, outbox);
        });
    registry.ServerStream<v1::DownloadReportRequest, v1::DownloadReportResponse>(
        service + "DownloadReport",
        [this](const Call& call, const auto& request, const auto& outbox) {
          return handlers_.Download(call, request, outbox);
        });
  }

  absl::Status Start() override {
    worker_.Start();
    return absl::OkStatus();
  }
  void Stop() override { worker_.Stop(); }

 private:
  std::shared_ptr<store::Store<v1::Report>> reports_;
  ReportWorker worker_;
  ReportHandlers handlers_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<rpc::App>> NewApp(const Settings& settings,
                                                 const rpc::Platform& platform) {
  YAGURA_ASSIGN_OR_RETURN(std::shared_ptr<blob::BlobStore> files,
                          blob::Open(settings.blobs, platform.data_dir / "reports"));
  return std::make_unique<ReportingApp>(settings, platform, std::move(files));
}

}  // namespace yagura::reporting
