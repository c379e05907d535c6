// Sigma rules over recorded Windows events, on one core, stage by stage:
//
//   Open       batch bytes in: checked, decompressed, directory read
//   Decode     every column that the rules ask for, and the raw lines
//   Match      decoded events in, matches out, by a matcher that remembers nothing yet
//   MatchAgain the same once more: what is left when every value and event is known
//   Whole      batch bytes in, matches out, as the service does
//
// Match and Whole count the whole way through the recordings with a new matcher, so nothing is
// known twice that a running service would not know. Arguments: events a batch; how many times the
// rules (copies have texts of their own).
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <algorithm>
#include <map>

#include "fmt/format.h"

#include "services/detection/domain/engine/batch_matcher.h"
#include "tests/unit/services/detection/shared_data.h"

namespace yagura::detection {
namespace {

constexpr size_t kEventsPerFile = 1000;

size_t HeapBytes() {
  const auto heap = mallinfo2();
  return heap.uordblks + heap.hblkhd;
}

struct Rules {
  std::shared_ptr<const RuleSet> set;
  size_t bytes = 0;
};

const Rules& RulesTimes(int copies) {
  static std::map<int, Rules> made;
  Rules& rules = made[copies];
  if (rules.set != nullptr) return rules;
  const size_t before = HeapBytes();
  auto loaded = testing::LoadSharedRules(copies);
  rules.set = std::move(loaded.set);
  rules.bytes = HeapBytes() - before;
  if (copies > 1) return rules;
  fmt::print("{} rule files: {} loaded\n", loaded.files, rules.set->entries().size());
  for (const auto& [reason, count] : loaded.refused)
    fmt::print("  refused {:4} {}\n", count, reason);
  return rules;
}

const std::vector<std::string>& Batches(size_t per_batch) {
  static std::map<size_t, std::vector<std::string>> made;
  auto& batches = made[per_batch];
  if (batches.empty()) batches = testing::SharedBatches(per_batch, kEventsPerFile);
  return batches;
}

std::vector<event::BatchReader> OpenAll(const std::vector<std::string>& batches) {
  std::vector<event::BatchReader> readers;
  for (const auto& bytes : batches) readers.push_back(*event::BatchReader::Open(bytes));
  return readers;
}

void DecodeAll(const RuleSet& rules, event::BatchReader& reader) {
  for (const auto& field : rules.fields()) {
    if (!field.original.empty()) benchmark::DoNotOptimize(reader.ReadFieldAll(field.original));
    if (field.core) benchmark::DoNotOptimize(reader.Read(*field.core));
  }
  benchmark::DoNotOptimize(reader.RawLines());
}

bool Skip(benchmark::State& state) {
  if (testing::HasSharedData()) return false;
  state.SkipWithError("no data: set YAGURA_DATA");
  return true;
}

void BM_Open(benchmark::State& state) {
  if (Skip(state)) return;
  const auto& batches = Batches(static_cast<size_t>(state.range(0)));
  int64_t events = 0;
  for (auto _ : state) {
    for (const auto& bytes : batches) {
      const auto reader = event::BatchReader::Open(bytes);
      events += static_cast<int64_t>(reader->size());
    }
  }
  state.SetItemsProcessed(events);
}

void BM_Decode(benchmark::State& state) {
  if (Skip(state)) return;
  const auto& batches = Batches(static_cast<size_t>(state.range(0)));
  const auto& rules = *RulesTimes(1).set;
  int64_t events = 0;
  for (auto _ : state) {
    state.PauseTiming();
    auto readers = OpenAll(batches);
    state.ResumeTiming();
    for (auto& reader : readers) {
      DecodeAll(rules, reader);
      events += static_cast<int64_t>(reader.size());
    }
    state.PauseTiming();
    readers.clear();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(events);
}

// What a pass says of the engine, apart from its speed.
void Tell(benchmark::State& state, const BatchMatcher& matcher, const Rules& rules,
          std::vector<uint32_t> candidates, size_t matches) {
  const MatchCounts counts = matcher.counts();
  const auto share = [](uint64_t part, uint64_t whole) {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
  };
  std::sort(candidates.begin(), candidates.end());
  state.counters["matches"] = static_cast<double>(matches);
  state.counters["candidates_p50"] = candidates[candidates.size() / 2];
  state.counters["candidates_p95"] = candidates[candidates.size() * 95 / 100];
  state.counters["candidates_max"] = candidates.back();
  state.counters["events_evaluated"] = share(counts.evaluated, counts.events);
  state.counters["values_decided"] = share(counts.values_decided, counts.values);
  state.counters["rules_MB"] = static_cast<double>(rules.bytes) / 1e6;
  state.counters["memory_MB"] = static_cast<double>(counts.memory_bytes) / 1e6;
}

// From decoded events.
void Match(benchmark::State& state, bool again) {
  if (Skip(state)) return;
  const Rules& rules = RulesTimes(static_cast<int>(state.range(1)));
  auto readers = OpenAll(Batches(static_cast<size_t>(state.range(0))));
  for (auto& reader : readers) DecodeAll(*rules.set, reader);
  int64_t events = 0;
  size_t matches = 0;
  std::vector<uint32_t> candidates;
  std::unique_ptr<BatchMatcher> matcher;
  const auto pass = [&] {
    matches = 0;
    for (auto& reader : readers) {
      matches += matcher->Run(reader)->size();
      events += static_cast<int64_t>(reader.size());
    }
  };
  for (auto _ : state) {
    if (!again || matcher == nullptr) {
      state.PauseTiming();
      matcher = std::make_unique<BatchMatcher>(rules.set);
      if (again) pass();
      if (again) events = 0;
      state.ResumeTiming();
    }
    pass();
  }
  state.SetItemsProcessed(events);
  matcher = std::make_unique<BatchMatcher>(rules.set);
  matches = 0;
  for (auto& reader : readers) {
    matches += matcher->Run(reader)->size();
    candidates.insert(candidates.end(), matcher->candidates().begin(), matcher->candidates().end());
  }
  Tell(state, *matcher, rules, std::move(candidates), matches);
}

void BM_Match(benchmark::State& state) { Match(state, false); }
void BM_MatchAgain(benchmark::State& state) { Match(state, true); }

void BM_Whole(benchmark::State& state) {
  if (Skip(state)) return;
  const Rules& rules = RulesTimes(1);
  const auto& batches = Batches(static_cast<size_t>(state.range(0)));
  int64_t events = 0;
  size_t matches = 0;
  for (auto _ : state) {
    BatchMatcher matcher(rules.set);
    matches = 0;
    for (const auto& bytes : batches) {
      auto reader = event::BatchReader::Open(bytes);
      matches += matcher.Run(*reader)->size();
      events += static_cast<int64_t>(reader->size());
    }
  }
  state.SetItemsProcessed(events);
  state.counters["matches"] = static_cast<double>(matches);
}

BENCHMARK(BM_Open)->Arg(64)->Arg(1024)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Decode)->Arg(64)->Arg(1024)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Match)
    ->ArgNames({"batch", "rules"})
    ->Args({24, 1})
    ->Args({64, 1})
    ->Args({256, 1})
    ->Args({1024, 1})
    ->Args({256, 2})
    ->Args({256, 4})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(BM_MatchAgain)->Args({64, 1})->Args({1024, 1})->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Whole)->Arg(24)->Arg(64)->Arg(256)->Arg(1024)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace yagura::detection

BENCHMARK_MAIN();
