#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/log/log.h"
#include "common/metrics/metrics.h"

namespace grpc {
class HealthCheckServiceInterface;
}

namespace yagura::rpc {

class App;

// Asks every App each second how its parts are, and tells the health services of the main and the
// second port, the metrics and the log (changes only).
class HealthMonitor {
 public:
  HealthMonitor(const std::vector<std::unique_ptr<App>>& apps,
                std::vector<grpc::HealthCheckServiceInterface*> services,
                std::shared_ptr<MetricsRegistry> metrics, Logger logger);
  ~HealthMonitor();
  // Everything is NOT_SERVING from now on.
  void Stop();

 private:
  void Work();
  void Ask();
  void Tell(const std::string& name, bool serving);

  const std::vector<std::unique_ptr<App>>& apps_;
  const std::vector<grpc::HealthCheckServiceInterface*> services_;
  const std::shared_ptr<MetricsRegistry> metrics_;
  const Logger logger_;
  std::map<std::string, bool> told_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace yagura::rpc
