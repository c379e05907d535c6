#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"

#include "common/blob/blob_store.h"
#include "common/clock/clock.h"
#include "common/rpc/call.h"
#include "common/rpc/streams.h"
#include "common/store/projection.h"
#include "common/store/store.h"
#include "yagura/reporting/v1/reporting_service.pb.h"

namespace yagura::reporting {

// The methods of ReportingService as plain functions. Thread-safe.
class ReportHandlers {
 public:
  struct Parts {
    std::shared_ptr<store::Store<v1::Report>> reports;
    std::shared_ptr<store::Projection<v1::Report>> projection;
    std::shared_ptr<blob::BlobStore> files;
    std::shared_ptr<const Clock> clock;
    // The tenant's time zone, from the directory.
    std::function<absl::StatusOr<std::string>(const std::string& tenant)> time_zone_of;
    // Hands a new report to the worker, durably.
    std::function<absl::Status(const std::string& name)> enqueue;
  };
  explicit ReportHandlers(Parts parts) : parts_(std::move(parts)) {}

  absl::StatusOr<v1::Report> Create(const rpc::Call& call,
                                    const v1::CreateReportRequest& request) const;
  absl::StatusOr<v1::Report> Get(const rpc::Call& call, const v1::GetReportRequest& request) const;
  absl::StatusOr<v1::ListReportsResponse> List(const rpc::Call& call,
                                               const v1::ListReportsRequest& request) const;
  absl::StatusOr<std::shared_ptr<void>> Watch(
      const rpc::Call& call, const v1::WatchReportRequest& request,
      const rpc::Outbox<v1::WatchReportResponse>& outbox) const;
  absl::Status Download(const rpc::Call& call, const v1::DownloadReportRequest& request,
                        const rpc::Outbox<v1::DownloadReportResponse>& outbox) const;

 private:
  Parts parts_;
};

}  // namespace yagura::reporting
