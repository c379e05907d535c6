#include "common/rpc/health_monitor.h"

#include <utility>

#include "fmt/format.h"
#include "grpcpp/health_check_service_interface.h"

#include "common/rpc/app.h"
#include "common/status/status.h"

namespace yagura::rpc {
namespace {

constexpr std::chrono::seconds kInterval{1};

}  // namespace

HealthMonitor::HealthMonitor(const std::vector<std::unique_ptr<App>>& apps,
                             std::vector<grpc::HealthCheckServiceInterface*> services,
                             std::shared_ptr<MetricsRegistry> metrics, Logger logger)
    : apps_(apps),
      services_(std::move(services)),
      metrics_(std::move(metrics)),
      logger_(std::move(logger)) {
  Ask();
  thread_ = std::thread([this] { Work(); });
}

HealthMonitor::~HealthMonitor() { Stop(); }

void HealthMonitor::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (!thread_.joinable()) return;
  thread_.join();
  for (auto* service : services_) service->Shutdown();
}

void HealthMonitor::Work() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kInterval, [this] { return stopping_; })) {
    lock.unlock();
    Ask();
    lock.lock();
  }
}

void HealthMonitor::Ask() {
  for (const auto& app : apps_) {
    const std::string name(app->name());
    bool well = true;
    for (const auto& [part, status] : app->Health()) {
      const std::string full = fmt::format("{}/{}", name, part);
      const auto before = told_.find(full);
      if (before != told_.end() && before->second && !status.ok()) {
        logger_.Warning("a part is not well", {{"name", full}, {"reason", Message(status)}});
      }
      Tell(full, status.ok());
      well = well && status.ok();
    }
    Tell(name, well);
  }
  Tell("", true);
}

void HealthMonitor::Tell(const std::string& name, bool serving) {
  const auto before = told_.find(name);
  if (before != told_.end() && before->second == serving) return;
  told_[name] = serving;
  for (auto* service : services_) service->SetServingStatus(name, serving);
  metrics_
      ->GetGauge("yagura_health", "1 where the named part is well.",
                 {{"name", name.empty() ? "server" : name}})
      ->Set(serving ? 1 : 0);
  if (!name.empty()) logger_.Info(serving ? "well" : "not well", {{"name", name}});
}

}  // namespace yagura::rpc
