// Append, and read and commit, over one shard of a real Redis on a Unix socket, by entry size and
// by entries a call.

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/stream/leased_cursor.h"
#include "common/stream/producer.h"
#include "common/stream/worker.h"
#include "common/testing/redis_server.h"

namespace yagura::stream {
namespace {

const Topic kTopic{"bench", 1, {"reader"}};
constexpr size_t kBacklogBytes = 256 << 20;

// Ends the bench with the error where there is one.
template <typename T>
T Must(absl::StatusOr<T> result, benchmark::State& state) {
  if (!result.ok()) {
    state.SkipWithError(result.status().ToString().c_str());
    std::abort();
  }
  return *std::move(result);
}

struct Bench {
  Bench(size_t size, size_t count) : payload(size, 'x'), batch(count) {
    if (!DeclareReaders(*pool, kTopic).ok()) std::abort();
  }

  void Append(benchmark::State& state) {
    std::vector<std::string> keys;
    for (size_t i = 0; i < batch; ++i) keys.push_back(fmt::format("batch-{}", next_key++));
    std::vector<Producer::Item> items;
    for (const std::string& key : keys) items.push_back({0, key, payload});
    for (const auto& id : producer.AppendAll(items)) last = Must(id, state);
    backlog += batch * payload.size();
  }

  void Drain(benchmark::State& state) {
    auto cursor = Must(LeasedCursor::Acquire(pool, kTopic, 0, {"reader", "drain"}), state);
    if (!cursor.Commit(last).ok() || !cursor.Release().ok()) std::abort();
    Trimmer trimmer(pool, {kTopic}, std::chrono::seconds(1), Logger::Null());
    (void)Must(trimmer.TrimOnce(), state);
    backlog = 0;
  }

  testing::RedisServer server;
  std::shared_ptr<redis::Pool> pool = server.NewPool();
  Producer producer{pool, kTopic, {.memory_budget_bytes = 0}};
  const std::string payload;
  const size_t batch;
  uint64_t next_key = 0;
  size_t backlog = 0;
  EntryId last;
};

void Count(benchmark::State& state, const Bench& bench, int64_t entries) {
  state.SetItemsProcessed(entries);
  state.SetBytesProcessed(entries * static_cast<int64_t>(bench.payload.size()));
}

void BM_Append(benchmark::State& state) {
  Bench bench(static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
  for (auto _ : state) {
    bench.Append(state);
    if (bench.backlog < kBacklogBytes) continue;
    state.PauseTiming();
    bench.Drain(state);
    state.ResumeTiming();
  }
  Count(state, bench, static_cast<int64_t>(bench.next_key));
}

void BM_ReadAndCommit(benchmark::State& state) {
  Bench bench(static_cast<size_t>(state.range(0)), 64);
  const auto entries = static_cast<size_t>(state.range(1));
  auto cursor = Must(LeasedCursor::Acquire(bench.pool, kTopic, 0, {"reader", "bench"}), state);
  int64_t read = 0;
  for (auto _ : state) {
    auto batch = Must(cursor.Read(entries, 8 << 20, std::chrono::milliseconds(0)), state);
    if (batch.empty()) {
      state.PauseTiming();
      while (bench.backlog < kBacklogBytes / 4) bench.Append(state);
      Trimmer trimmer(bench.pool, {kTopic}, std::chrono::seconds(1), Logger::Null());
      (void)Must(trimmer.TrimOnce(), state);
      bench.backlog = 0;
      state.ResumeTiming();
      continue;
    }
    if (!cursor.Commit(batch.back().id).ok()) std::abort();
    read += static_cast<int64_t>(batch.size());
  }
  Count(state, bench, read);
}

BENCHMARK(BM_Append)
    ->ArgNames({"bytes", "a_call"})
    ->ArgsProduct({{1 << 10, 64 << 10}, {1, 16, 64}})
    ->UseRealTime();
BENCHMARK(BM_ReadAndCommit)
    ->ArgNames({"bytes", "a_call"})
    ->ArgsProduct({{1 << 10, 64 << 10}, {1, 16, 64}})
    ->UseRealTime();

}  // namespace
}  // namespace yagura::stream

BENCHMARK_MAIN();
