#include "services/detection/workers/hunt_metrics.h"

#include <condition_variable>
#include <utility>

#include "services/detection/storage/hunt_store.h"

namespace yagura::detection {
namespace {

constexpr int kPage = 1'000;

std::map<v1::HuntState, const char*> Ends() {
  return {{v1::DONE, "done"}, {v1::FAILED, "failed"}, {v1::CANCELLED, "cancelled"}};
}

}  // namespace

HuntMetrics::HuntMetrics(MetricsRegistry& metrics)
    : working_(metrics.GetGauge("yagura_detection_hunt_tenants",
                                "Tenants that this process hunts in now")),
      events_(metrics.GetCounter("yagura_detection_hunt_events_total",
                                 "Stored events that hunts have looked at one by one")),
      seconds_(metrics.GetHistogram("yagura_detection_hunt_seconds",
                                    "From the question to the end of a hunt that was not cancelled",
                                    {1, 10, 60, 600, 3'600, 6 * 3'600, 24 * 3'600})) {
  for (const auto& [state, end] : Ends()) {
    results_[state] = metrics.GetCounter("yagura_detection_hunt_results_total",
                                         "Tenants that hunts came to an end in", {{"end", end}});
    if (state == v1::CANCELLED) continue;
    hunts_[state] = metrics.GetCounter("yagura_detection_hunts_total",
                                       "Hunts that came to an end by themselves", {{"end", end}});
  }
}

std::shared_ptr<void> HuntMetrics::Work() {
  const auto change = [this](int by) {
    const std::lock_guard lock(mutex_);
    at_work_ += by;
    working_->Set(at_work_);
  };
  change(1);
  return {nullptr, [change](void*) { change(-1); }};
}

void HuntMetrics::EndResult(v1::HuntState state) {
  if (const auto found = results_.find(state); found != results_.end()) found->second->Add();
}

void HuntMetrics::EndHunt(v1::HuntState state, std::chrono::nanoseconds took) {
  const auto found = hunts_.find(state);
  if (found == hunts_.end()) return;
  found->second->Add();
  seconds_->Observe(std::chrono::duration<double>(took).count());
}

HuntGauges::HuntGauges(const store::Store<v1::Hunt>& hunts,
                       std::shared_ptr<store::FeedFollower> feed, MetricsRegistry& metrics,
                       std::chrono::milliseconds pause)
    : pause_(pause),
      open_(hunts, std::move(feed), [](const v1::Hunt& hunt) { return !IsOver(hunt.state()); }) {
  for (const auto& [state, name] :
       {std::pair(v1::QUEUED, "queued"), std::pair(v1::RUNNING, "running")}) {
    gauges_[state] = metrics.GetGauge("yagura_detection_hunts",
                                      "Hunts of all tenants that are not over", {{"state", name}});
  }
}

void HuntGauges::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any never;
    while (!stop.stop_requested()) {
      Tell();
      std::unique_lock lock(mutex);
      never.wait_for(lock, stop, pause_, [] { return false; });
    }
  });
}

void HuntGauges::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

// Where they cannot be read what was told last stays.
void HuntGauges::Tell() {
  std::map<v1::HuntState, int> counts;
  store::ListQuery query;
  query.page_size = kPage;
  do {
    const auto page = open_.List(query, {.all = true, .tenants = {}});
    if (!page.ok()) return;
    for (const auto& hunt : page->items) ++counts[hunt.state()];
    query.page_token = page->next_page_token;
  } while (!query.page_token.empty());
  for (const auto& [state, gauge] : gauges_) gauge->Set(counts[state]);
}

}  // namespace yagura::detection
