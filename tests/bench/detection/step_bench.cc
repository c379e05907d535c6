// The two steps of detection over FortiGate lines, with the rules of content/sigma, on one core:
//
//   Match    a batch's bytes in, hits packed for the stream out
//   Windows  packed hits in, windows written to a real Redis, as the service does step by step;
//            findings are made and not written
//
// CPU time of the one thread that does it, without Redis. `findings` and `digest` are of what the
// outcomes say: another build that finds the same has the same. Argument: seconds of event time a
// thousand lines, times a thousand; the fewer, the more is found.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "fmt/format.h"

#include "common/log/log.h"
#include "common/redis/pool.h"
#include "common/store/store.h"
#include "common/stream/producer.h"
#include "common/stream/scripts.h"
#include "common/stream/topics.h"
#include "common/testing/fortigate_lines.h"
#include "common/testing/redis_server.h"
#include "services/detection/domain/engine/memory.h"
#include "services/detection/domain/hits.h"
#include "services/detection/domain/packed.h"
#include "services/detection/storage/kinds.h"
#include "services/detection/storage/window_store.h"
#include "services/detection/workers/window_worker.h"
#include "services/ingestion/domain/line_pipeline.h"

namespace yagura::detection {
namespace {

constexpr size_t kLines = 100'000;
constexpr size_t kBatchBytes = 64 * 1024;
constexpr size_t kEntriesAStep = 64;
constexpr std::chrono::minutes kFold{10};
const std::string kReader = "detection-windows";

std::shared_ptr<const RuleSet> LoadRules() {
  const char* source = std::getenv("YAGURA_SOURCE_DIR");
  const auto folder = std::filesystem::path(source != nullptr ? source : ".") / "content/sigma";
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".yml") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<RuleSet::Entry> entries;
  for (const auto& file : files) {
    std::ifstream in(file);
    std::stringstream text;
    text << in.rdbuf();
    auto parsed = ParseSigma(text.str());
    if (!parsed.ok()) continue;  // its placeholders have no values
    entries.push_back({"", std::make_shared<const ParsedRule>(*std::move(parsed))});
  }
  return RuleSet::Build(std::move(entries));
}

// Batches of one source, as ingestion makes them.
std::vector<std::string> MakeBatches(std::chrono::microseconds step) {
  testing::FortigateLines::Options options;
  options.step = step;
  testing::FortigateLines source(options);
  ingestion::LinePipeline pipeline;
  ingestion::LineContext context;
  context.origin = "192.0.2.1";
  std::vector<std::string> batches;
  event::BatchBuilder builder;
  size_t bytes = kBatchBytes;
  const auto finish = [&] {
    if (builder.size() > 0) batches.push_back(builder.Finish());
  };
  for (size_t i = 0; i < kLines; ++i) {
    const TimePoint now = options.start + std::chrono::seconds(1) + step * static_cast<int64_t>(i);
    if (bytes >= kBatchBytes) {
      finish();
      builder.Reset({"bench", event::BatchIdOf({std::to_string(i)}), now});
      bytes = 0;
    }
    const std::string line = source.Next();
    context.receive_time = now;
    builder.Add(pipeline.Process(line, context).event);
    bytes += line.size();
  }
  finish();
  return batches;
}

const std::vector<std::string>& Batches(int64_t step) {
  static std::map<int64_t, std::vector<std::string>> made;
  auto& batches = made[step];
  if (batches.empty()) batches = MakeBatches(std::chrono::microseconds(step));
  return batches;
}

// Entries of the shards of "hits".
struct Hits {
  std::map<int, std::vector<stream::Entry>> shards;
  size_t bytes = 0;
  size_t matches = 0;
};

Hits MatchAll(BatchMatcher& matcher, const std::vector<std::string>& batches) {
  Hits all;
  const int shards = stream::HitsTopic().shards;
  const auto shard_of = [shards](std::string_view partition) {
    return stream::ShardOf(partition, shards);
  };
  Packer packer;
  uint64_t number = 0;
  for (const auto& bytes : batches) {
    auto batch = event::BatchReader::Open(bytes);
    const HitSource source{0, fmt::format("1-{}", ++number), 1};
    auto found = FindHits(matcher, *batch, source, shard_of, kFold);
    all.matches += found->matches;
    for (auto& [shard, hits] : found->hits) {
      std::string payload = PackHits(hits, packer);
      all.bytes += payload.size();
      all.shards[shard].push_back({{1, number}, source.id, std::move(payload)});
    }
  }
  return all;
}

void BM_Match(benchmark::State& state) {
  const auto& batches = Batches(state.range(0));
  const auto rules = LoadRules();
  BatchMatcher matcher(rules);
  Hits hits;
  for (auto _ : state) hits = MatchAll(matcher, batches);
  state.SetItemsProcessed(static_cast<int64_t>(kLines * state.iterations()));
  state.counters["hit_bytes_a_line"] = static_cast<double>(hits.bytes) / kLines;
  state.counters["matches_a_line"] = static_cast<double>(hits.matches) / kLines;
}

// Notes what would be written.
class Notes final : public FindingSink {
 public:
  using FindingSink::FindingSink;
  absl::Status Put(const std::vector<Windows::Outcome>& outcomes) override {
    for (const auto& outcome : outcomes) {
      begun += outcome.began ? 1 : 0;
      grown += outcome.began || outcome.closing ? 0 : 1;
      digest += HashBytes(outcome.finding.SerializeAsString(), outcome.tells ? 1 : 2) >> 32;
    }
    return absl::OkStatus();
  }
  size_t begun = 0;
  size_t grown = 0;
  uint64_t digest = 0;
};

void BM_Windows(benchmark::State& state) {
  BatchMatcher matcher(LoadRules());
  const Hits hits = MatchAll(matcher, Batches(state.range(0)));
  const testing::RedisServer server;
  const auto pool = server.NewPool();
  const auto topic = stream::HitsTopic();
  MetricsRegistry metrics;
  size_t kept = 0;
  std::shared_ptr<Notes> notes;
  for (auto _ : state) {
    state.PauseTiming();
    (void)pool->Command({"FLUSHALL"});
    for (int shard = 0; shard < topic.shards; ++shard) {
      (void)pool->Command({"HSET", stream::LeaseKey(topic.name, shard, kReader), "epoch", "1"});
    }
    notes =
        std::make_shared<Notes>(store::Store<v1::Finding>(pool, FindingKind(), SystemClock()),
                                std::make_shared<stream::Producer>(pool, stream::FindingsTopic(),
                                                                   stream::Producer::Options{}));
    auto worker = std::make_unique<WindowWorker>(
        std::make_shared<WindowStore>(pool, topic, kReader), notes,
        Windows::Limits{.bytes = (256U << 20) / static_cast<size_t>(topic.shards)}, metrics);
    state.ResumeTiming();
    // All shards on, step by step.
    for (size_t first = 0, more = 1; more > 0; first += kEntriesAStep) {
      more = 0;
      for (const auto& [shard, entries] : hits.shards) {
        if (first >= entries.size()) continue;
        const size_t last = std::min(first + kEntriesAStep, entries.size());
        const std::vector<stream::Entry> step(entries.begin() + static_cast<std::ptrdiff_t>(first),
                                              entries.begin() + static_cast<std::ptrdiff_t>(last));
        if (!worker->Handle({shard, 1}, step).ok()) std::abort();
        ++more;
      }
    }
    state.PauseTiming();
    kept = 0;
    for (int shard = 0; shard < topic.shards; ++shard) {
      const auto all =
          pool->Command({"HGETALL", fmt::format("y:{{s{}}}:detection:windows", shard)});
      for (const auto& item : all->items) kept += item.text.size();
    }
    worker.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(static_cast<int64_t>(kLines * state.iterations()));
  state.counters["kept_MB"] = static_cast<double>(kept) / 1e6;
  state.counters["begun"] = static_cast<double>(notes->begun);
  state.counters["grown"] = static_cast<double>(notes->grown);
  state.counters["digest"] = static_cast<double>(notes->digest & 0xFFFFFFFFU);
}

// As fast as 30,000 lines/s, and as the lines of the other benches are.
BENCHMARK(BM_Match)->Arg(33)->Arg(1000)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Windows)->Arg(33)->Arg(1000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace yagura::detection

BENCHMARK_MAIN();
