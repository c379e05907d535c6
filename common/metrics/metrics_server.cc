#include <exception>

#include "prometheus/collectable.h"
#include "prometheus/exposer.h"

#include "common/metrics/metrics.h"

namespace yagura {
namespace {

class ExposerServer final : public MetricsServer {
 public:
  ExposerServer(const std::string& address, std::shared_ptr<MetricsRegistry> registry)
      : registry_(std::move(registry)),
        collectable_(registry_->collectable()),
        // One scraper at a time is served, one may wait; a request line of 16 KiB is CivetWeb's
        // default limit.
        exposer_({"listening_ports", address, "num_threads", "2", "request_timeout_ms", "10000",
                  "enable_keep_alive", "no"}) {
    exposer_.RegisterCollectable(collectable_);
  }
  int port() const override {
    const auto ports = exposer_.GetListeningPorts();
    return ports.empty() ? 0 : ports.front();
  }

 private:
  std::shared_ptr<MetricsRegistry> registry_;
  std::shared_ptr<prometheus::Collectable> collectable_;
  prometheus::Exposer exposer_;
};

}  // namespace

std::unique_ptr<MetricsServer> MetricsServer::Start(const std::string& address,
                                                    std::shared_ptr<MetricsRegistry> registry,
                                                    std::string* error) {
  try {
    return std::make_unique<ExposerServer>(address, std::move(registry));
  } catch (const std::exception& e) {
    if (error != nullptr) {
      // What CivetWeb throws does not say it, and a port in use is the common reason.
      *error = "cannot serve metrics on " + address +
               ": the address is in use (by another suite?) or is none of this machine's (" +
               e.what() + ")";
    }
    return nullptr;
  }
}

}  // namespace yagura
