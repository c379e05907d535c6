#include "services/archive/workers/retention_refresher.h"

#include <map>
#include <string>
#include <utility>

#include "grpcpp/grpcpp.h"

#include "common/rpc/channels.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "services/archive/workers/retention.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"

namespace yagura::archive {
namespace {

constexpr int kPage = 1'000;
constexpr std::chrono::milliseconds kTimeout{5'000};
constexpr std::chrono::milliseconds kRetry{2'000};

}  // namespace

RetentionRefresher::RetentionRefresher(std::shared_ptr<rpc::Channels> channels,
                                       Retention& retention, std::chrono::milliseconds interval,
                                       Logger logger)
    : channels_(std::move(channels)),
      retention_(retention),
      interval_(interval),
      logger_(std::move(logger)) {}

RetentionRefresher::~RetentionRefresher() { Stop(); }

void RetentionRefresher::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void RetentionRefresher::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void RetentionRefresher::Wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  wake_.notify_all();
}

Status RetentionRefresher::Refresh() {
  const auto stub = directory::v1::DirectoryService::NewStub(channels_->Get("directory"));
  std::map<std::string, int, std::less<>> days;
  std::map<std::string, int, std::less<>> flow_days;
  directory::v1::ListTenantsRequest request;
  request.set_page_size(kPage);
  do {
    grpc::ClientContext context;
    channels_->PrepareAs(context, "-", kTimeout);
    directory::v1::ListTenantsResponse response;
    const grpc::Status status = stub->ListTenants(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpc(status);
    for (const auto& tenant : response.tenants()) {
      const std::string id(store::LastId(tenant.name()));
      days[id] = tenant.retention_days();
      flow_days[id] = tenant.flow_retention_days();
    }
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  retention_.Set(std::move(days));
  retention_.SetFlowDays(std::move(flow_days));
  told_ = true;
  return absl::OkStatus();
}

void RetentionRefresher::Run(const std::stop_token& stop) {
  // Services that start together find each other at the second try: the first one is no news.
  constexpr int kTell = 2;
  int failures = 0;
  while (!stop.stop_requested()) {
    const Status status = Refresh();
    failures = status.ok() ? 0 : failures + 1;
    if (failures == kTell) {
      logger_.Warning("the directory does not tell of retention; what is known counts",
                      {{"why", Message(status)}});
    }
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, status.ok() ? interval_ : kRetry, [this] { return woken_; });
    woken_ = false;
  }
}

}  // namespace yagura::archive
