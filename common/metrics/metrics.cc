#include "common/metrics/metrics.h"

#include <mutex>

#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"

namespace yagura {
namespace {

constexpr size_t kMaxLabelSets = 1000;

class CounterOf final : public Counter {
 public:
  explicit CounterOf(prometheus::Counter& counter) : counter_(counter) {}
  void Add(double value) override { counter_.Increment(value); }
  double Value() const override { return counter_.Value(); }

 private:
  prometheus::Counter& counter_;
};

class GaugeOf final : public Gauge {
 public:
  explicit GaugeOf(prometheus::Gauge& gauge) : gauge_(gauge) {}
  void Set(double value) override { gauge_.Set(value); }
  double Value() const override { return gauge_.Value(); }

 private:
  prometheus::Gauge& gauge_;
};

class HistogramOf final : public Histogram {
 public:
  explicit HistogramOf(prometheus::Histogram& histogram) : histogram_(histogram) {}
  void Observe(double value) override { histogram_.Observe(value); }

 private:
  prometheus::Histogram& histogram_;
};

// All metrics of one name: one family of prometheus-cpp and our views of its members.
template <typename Ours, typename Theirs>
struct Members {
  prometheus::Family<Theirs>* family = nullptr;
  std::map<MetricsRegistry::Labels, std::unique_ptr<Ours>> by_labels;
};

// Beyond the bound every label is called "other", so that a hostile value cannot fill the memory.
MetricsRegistry::Labels Other(const MetricsRegistry::Labels& labels) {
  MetricsRegistry::Labels other;
  for (const auto& [name, value] : labels) other[name] = "other";
  return other;
}

}  // namespace

struct MetricsRegistry::Impl {
  template <typename View, typename Ours, typename Theirs, typename Build, typename... Args>
  Ours* Get(std::map<std::string, Members<Ours, Theirs>>& all, Build build, const std::string& name,
            const std::string& help, Labels labels, const Args&... args) {
    const std::lock_guard lock(mutex);
    auto& members = all[name];
    if (members.family == nullptr) {
      members.family = &build().Name(name).Help(help).Register(*registry);
    }
    auto found = members.by_labels.find(labels);
    if (found == members.by_labels.end() && members.by_labels.size() >= kMaxLabelSets) {
      labels = Other(labels);
      found = members.by_labels.find(labels);
    }
    if (found == members.by_labels.end()) {
      Theirs& metric = members.family->Add(labels, args...);
      found = members.by_labels.emplace(labels, std::make_unique<View>(metric)).first;
    }
    return found->second.get();
  }

  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  std::mutex mutex;
  std::map<std::string, Members<Counter, prometheus::Counter>> counters;
  std::map<std::string, Members<Gauge, prometheus::Gauge>> gauges;
  std::map<std::string, Members<Histogram, prometheus::Histogram>> histograms;
};

MetricsRegistry::MetricsRegistry() : impl_(std::make_unique<Impl>()) {}
MetricsRegistry::~MetricsRegistry() = default;

Counter* MetricsRegistry::GetCounter(const std::string& name, const std::string& help,
                                     const Labels& labels) {
  return impl_->Get<CounterOf>(impl_->counters, prometheus::BuildCounter, name, help, labels);
}

Gauge* MetricsRegistry::GetGauge(const std::string& name, const std::string& help,
                                 const Labels& labels) {
  return impl_->Get<GaugeOf>(impl_->gauges, prometheus::BuildGauge, name, help, labels);
}

Histogram* MetricsRegistry::GetHistogram(const std::string& name, const std::string& help,
                                         const std::vector<double>& bounds, const Labels& labels) {
  return impl_->Get<HistogramOf>(impl_->histograms, prometheus::BuildHistogram, name, help, labels,
                                 bounds);
}

std::shared_ptr<prometheus::Collectable> MetricsRegistry::collectable() const {
  return impl_->registry;
}

std::string MetricsRegistry::Render() const {
  return prometheus::TextSerializer().prometheus::Serializer::Serialize(impl_->registry->Collect());
}

}  // namespace yagura
