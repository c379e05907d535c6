// What it costs to tell with each answer what was received and is not stored yet, beside a backlog
// of 100,000 FortiGate lines: one real Redis with the batches, one real yagura-store.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "fmt/format.h"

#include "common/auth/principal.h"
#include "common/clock/proto_time.h"
#include "common/event/batch_codec.h"
#include "common/eventstore/client.h"
#include "common/redis/pool.h"
#include "common/rpc/call.h"
#include "common/status/status.h"
#include "common/stream/producer.h"
#include "common/stream/worker.h"
#include "common/testing/event_store.h"
#include "common/testing/fortigate_lines.h"
#include "common/testing/redis_server.h"
#include "services/archive/api/archive_handlers.h"
#include "services/archive/storage/migrations.h"
#include "services/archive/storage/spool.h"
#include "services/archive/storage/unstored_events.h"
#include "services/ingestion/domain/line_pipeline.h"

namespace yagura::archive {
namespace {

constexpr size_t kLines = 100'000;
constexpr size_t kBatchBytes = 64 * 1024;

// Nobody takes from the streams.
class Backlog {
 public:
  Backlog() {
    eventstore::ClientOptions options;
    options.addresses = {store_.address()};
    client_ = std::make_shared<eventstore::Client>(options);
    flow_ = redis_.NewPool();
    auto spool = Spool::Open(store_.folder() / "spool", 1ull << 30);
    if (!spool.ok() || !Migrate(*client_, table_, Logger::Null()).ok() ||
        !stream::DeclareReaders(*flow_, topic_).ok()) {
      std::abort();
    }
    spool_ = *std::move(spool);
    Fill();
    unstored_ = std::make_unique<UnstoredEvents>(flow_, topic_, "archive", *spool_);
    runner_ = std::make_unique<QueryRunner>(client_, SystemClock(), QueryLimits{});
  }

  v1::PendingEvents Pending(TimePoint start, TimePoint end) const {
    return unstored_->Of({.all = false, .tenants = {"acme"}}, {start, end});
  }

  v1::CountEventsResponse Count(TimePoint start, TimePoint end, bool told) const {
    auth::Grant grant;
    grant.role = "admin";
    grant.tenants = {"acme"};
    rpc::Call::Parts parts;
    parts.principal.grants = {grant};
    parts.permission = "archive.events.search";
    parts.tenant = "acme";
    parts.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    v1::CountEventsRequest request;
    *request.mutable_range()->mutable_start_time() = ToProto(start);
    *request.mutable_range()->mutable_end_time() = ToProto(end);
    const ArchiveHandlers handlers(*runner_, table_, told ? unstored_.get() : nullptr);
    const auto counted = handlers.CountEvents(rpc::Call(std::move(parts)), request);
    if (!counted.ok()) std::abort();
    return *counted;
  }

  TimePoint now() const { return now_; }

 private:
  void Fill() {
    stream::Producer producer(flow_, topic_, stream::Producer::Options{});
    testing::FortigateLines source;
    ingestion::LinePipeline pipeline;
    ingestion::LineContext context;
    event::BatchBuilder builder;
    size_t bytes = 0;
    size_t batches = 0;
    const auto finish = [&] {
      const std::string id = event::BatchIdOf({std::to_string(++batches)});
      builder.SetBatchId(id);
      const int shard = static_cast<int>(batches) % topic_.shards;
      if (!producer.Append(shard, id, builder.Finish()).ok()) std::abort();
      bytes = 0;
    };
    for (size_t i = 0; i < kLines; ++i) {
      context.receive_time = now_ - std::chrono::seconds(10) + std::chrono::microseconds(50) * i;
      if (bytes == 0) builder.Reset({"acme", {}, context.receive_time});
      const std::string line = source.Next();
      builder.Add(pipeline.Process(line, context).event);
      bytes += line.size();
      if (bytes >= kBatchBytes) finish();
    }
    if (bytes > 0) finish();
  }

  testing::EventStore store_;
  testing::RedisServer redis_;
  const TimePoint now_ = SystemClock()->Now();
  const stream::Topic topic_{"events", 4, {"archive"}};
  EventTable table_;
  std::shared_ptr<eventstore::Client> client_;
  std::shared_ptr<redis::Pool> flow_;
  std::unique_ptr<Spool> spool_;
  std::unique_ptr<UnstoredEvents> unstored_;
  std::unique_ptr<QueryRunner> runner_;
};

Backlog& Shared() {
  static Backlog backlog;
  return backlog;
}

// `told` 0: what the count itself costs. The first answers, which look at the backlog for the first
// time, are not timed.
void CountBesideBacklog(benchmark::State& state) {
  constexpr int kFirst = 5;
  const Backlog& backlog = Shared();
  const bool past = state.range(0) != 0;
  const TimePoint end = backlog.now() + (past ? -std::chrono::hours(48) : std::chrono::hours(1));
  const TimePoint start = end - std::chrono::hours(24);
  for (int i = 0; i < kFirst; ++i) (void)backlog.Count(start, end, true);
  v1::CountEventsResponse response;
  for (auto _ : state) response = backlog.Count(start, end, state.range(1) != 0);
  state.counters["told_events"] = static_cast<double>(response.coverage().pending().event_count());
}
BENCHMARK(CountBesideBacklog)
    ->ArgNames({"past", "told"})
    ->ArgsProduct({{0, 1}, {0, 1}})
    ->Iterations(50)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void PendingAlone(benchmark::State& state) {
  const Backlog& backlog = Shared();
  const TimePoint end = backlog.now() + std::chrono::hours(1);
  for (auto _ : state) {
    benchmark::DoNotOptimize(backlog.Pending(end - std::chrono::hours(24), end));
  }
}
BENCHMARK(PendingAlone)->Iterations(50)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace yagura::archive

BENCHMARK_MAIN();
