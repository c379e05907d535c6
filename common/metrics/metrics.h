#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace prometheus {
class Collectable;
}

// Prometheus metrics as a part that is passed in. Names follow the conventions:
// yagura_<area>_<what>_<unit>, counters end in _total, times are seconds, sizes bytes.
namespace yagura {

class Counter {
 public:
  virtual ~Counter() = default;
  virtual void Add(double value = 1) = 0;
  virtual double Value() const = 0;
};

class Gauge {
 public:
  virtual ~Gauge() = default;
  virtual void Set(double value) = 0;
  virtual double Value() const = 0;
};

class Histogram {
 public:
  virtual ~Histogram() = default;
  virtual void Observe(double value) = 0;
};

// Thread-safe. The same name and labels give the same metric; it lives as long as the registry,
// which the returned pointers do not own. At most 1,000 label sets a name: more share one called
// "other".
class MetricsRegistry {
 public:
  using Labels = std::map<std::string, std::string>;
  MetricsRegistry();
  ~MetricsRegistry();
  Counter* GetCounter(const std::string& name, const std::string& help, const Labels& labels = {});
  Gauge* GetGauge(const std::string& name, const std::string& help, const Labels& labels = {});
  Histogram* GetHistogram(const std::string& name, const std::string& help,
                          const std::vector<double>& bounds, const Labels& labels = {});
  // The text exposition format.
  std::string Render() const;
  // For MetricsServer.
  std::shared_ptr<prometheus::Collectable> collectable() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Serves GET /metrics until destroyed.
class MetricsServer {
 public:
  // `address`: "127.0.0.1:9464"; port 0 takes a free one.
  static std::unique_ptr<MetricsServer> Start(const std::string& address,
                                              std::shared_ptr<MetricsRegistry> registry,
                                              std::string* error);
  virtual ~MetricsServer() = default;
  virtual int port() const = 0;
};

}  // namespace yagura
