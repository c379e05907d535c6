#include <utility>
#include <vector>

#include "fmt/format.h"

#include "services/ingestion/domain/intake.h"
#include "services/ingestion/ingestion_metrics.h"
#include "services/ingestion/storage/batch_sink.h"
#include "services/ingestion/workers/current_sources.h"
#include "services/ingestion/workers/line_outlet.h"
#include "services/ingestion/workers/listener.h"

namespace yagura::ingestion {
namespace {

Intake::Options IntakeOptions(const ListenerParts& parts, const std::string& instance) {
  Intake::Options options = parts.intake;
  options.instance = instance;
  return options;
}

class EventOutlet final : public LineOutlet {
 public:
  EventOutlet(const ListenerParts& parts, const std::string& instance)
      : sink_(parts.sink),
        current_(parts.sources),
        metrics_(parts.metrics),
        clock_(parts.clock),
        intake_(IntakeOptions(parts, instance), parts.quarantine),
        sources_(SourceMap::Empty()) {}

  bool WaitReady(std::chrono::milliseconds timeout) override {
    auto sources = current_->WaitFor(timeout);
    if (sources == nullptr) return false;
    sources_ = std::move(sources);
    return true;
  }
  void Refresh() override {
    if (auto fresh = current_->Get()) sources_ = std::move(fresh);
  }
  void Add(SenderState& state, std::string_view line, bool truncated, TimePoint receive_time,
           SteadyTime now) override {
    intake_.Add(state, sources_, line, truncated, receive_time, now);
  }
  std::optional<SteadyTime> NextDue() const override { return intake_.NextDue(); }
  bool has_ready() const override { return intake_.has_ready(); }

  bool HandOn(bool all) override {
    auto ready = all ? intake_.TakeAll() : intake_.TakeReady(clock_->SteadyNow());
    for (ReadyBatch& batch : ready) {
      metrics_->CountReceived(batch);
      waiting_.push_back(std::move(batch));
    }
    sink_->Deliver(waiting_);
    return waiting_.empty() && sink_->flowing();
  }
  void GiveUp() override {
    sink_->Lose(waiting_);
    waiting_.clear();
  }
  bool flowing() const override { return sink_->flowing(); }
  void WaitFlowing(std::chrono::milliseconds timeout) override { sink_->WaitFlowing(timeout); }

 private:
  const std::shared_ptr<BatchSink> sink_;
  const std::shared_ptr<CurrentSources> current_;
  const std::shared_ptr<IngestionMetrics> metrics_;
  const std::shared_ptr<const Clock> clock_;
  Intake intake_;
  std::shared_ptr<const SourceMap> sources_;
  std::vector<ReadyBatch> waiting_;  // refused by streams and spool
};

}  // namespace

std::unique_ptr<LineOutlet> NewOutlet(const ListenerParts& parts, const std::string& listener,
                                      int thread) {
  const std::string name = fmt::format("{}/{}/{}", parts.instance, listener, thread);
  return parts.new_outlet ? parts.new_outlet(name) : MakeEventOutlet(parts, name);
}

std::unique_ptr<LineOutlet> MakeEventOutlet(const ListenerParts& parts,
                                            const std::string& instance) {
  return std::make_unique<EventOutlet>(parts, instance);
}

}  // namespace yagura::ingestion
