// How fast the event store takes FortiGate lines of our generator, how large they lie there, and
// how long it takes to ask. One real yagura-store, with fsync as in production. Sizes are those
// after merging, in bytes an event; "raw" is the line alone.
#include <benchmark/benchmark.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "fmt/format.h"

#include "common/event/batch_codec.h"
#include "common/eventstore/client.h"
#include "common/filter/filter.h"
#include "common/status/status.h"
#include "common/testing/event_store.h"
#include "common/testing/fortigate_lines.h"
#include "services/archive/domain/block_column.h"
#include "services/archive/domain/event_proof.h"
#include "services/archive/domain/queries.h"
#include "services/archive/storage/migrations.h"
#include "services/archive/storage/proof_store.h"
#include "services/archive/storage/tiering.h"
#include "services/archive/workers/range_inserter.h"
#include "services/archive/workers/retention.h"
#include "services/ingestion/domain/line_pipeline.h"

namespace yagura::archive {
namespace {

constexpr size_t kEventsPerInsert = 50'000;
constexpr size_t kBatchBytes = 64 * 1024;

// How large `zstd -3` makes the lines as one file.
class CompressedLines {
 public:
  CompressedLines() : context_(ZSTD_createCCtx()), buffer_(ZSTD_CStreamOutSize(), '\0') {
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, 3);
  }
  void Add(std::string_view line) {
    Feed(line, ZSTD_e_continue);
    Feed("\n", ZSTD_e_continue);
  }
  double Finish() {
    Feed({}, ZSTD_e_end);
    return static_cast<double>(bytes_);
  }

 private:
  void Feed(std::string_view text, ZSTD_EndDirective directive) {
    ZSTD_inBuffer in{text.data(), text.size(), 0};
    size_t left = 0;
    do {
      ZSTD_outBuffer out{buffer_.data(), buffer_.size(), 0};
      left = ZSTD_compressStream2(context_.get(), &out, &in, directive);
      if (ZSTD_isError(left) != 0) std::abort();
      bytes_ += out.pos;
    } while (in.pos < in.size || (directive == ZSTD_e_end && left > 0));
  }

  struct Free {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  };
  std::unique_ptr<ZSTD_CCtx, Free> context_;
  std::string buffer_;
  size_t bytes_ = 0;
};

class Bench {
 public:
  Bench() : store_({.memory_limit_bytes = 4ull << 30}) {
    eventstore::ClientOptions options;
    options.addresses = {store_.address()};
    client_ = std::make_shared<eventstore::Client>(options);
    const Status migrated = Migrate(*client_, table_, Logger::Null());
    if (!migrated.ok()) std::abort();
    start_ = std::chrono::floor<std::chrono::days>(SystemClock()->Now());
  }

  // A range of new lines, received one every 50 microseconds.
  RangeData NextRange(size_t lines) {
    RangeData range;
    range.plan.set_token(fmt::format("range-{}", ++ranges_));
    ingestion::LinePipeline pipeline;
    ingestion::LineContext context;
    context.origin = "192.0.2.1";
    event::BatchBuilder builder;
    const auto finish = [&] {
      if (builder.size() == 0) return;
      range.entries.push_back({{++entries_, 0}, "k", builder.Finish()});
    };
    size_t bytes = kBatchBytes;
    for (size_t i = 0; i < lines; ++i) {
      if (bytes >= kBatchBytes) {
        finish();
        builder.Reset({"acme", event::BatchIdOf({std::to_string(entries_ + 1)}), start_});
        bytes = 0;
      }
      const std::string line = source_.Next();
      context.receive_time = start_ + std::chrono::microseconds(50) * events_++;
      builder.Add(pipeline.Process(line, context).event);
      bytes += line.size();
      raw_bytes_ += line.size();
      lines_.Add(line);
    }
    finish();
    return range;
  }

  void Fill(size_t events) {
    while (events_ < events) Insert(NextRange(kEventsPerInsert));
  }

  void Insert(const RangeData& range, bool digests = false) {
    const ProofStore proofs(client_);
    const RangeInserter inserter(client_, table_, retention_, digests ? &proofs : nullptr);
    if (!inserter.Insert(range).ok()) std::abort();
  }

  double Number(const std::string& sql) {
    const auto result = client_->Select({.sql = sql, .timeout = std::chrono::minutes(5)});
    return result.ok() ? static_cast<double>(result->rows.at(0).at(0).AsUnsigned()) : 0;
  }

  // Into one part, its texts compressed so.
  void MergeWith(std::string_view codec) {
    for (const std::string& sql :
         {fmt::format("ALTER TABLE yagura.events MODIFY SETTING default_compression_codec = '{}'",
                      codec),
          std::string("OPTIMIZE TABLE yagura.events FINAL")}) {
      if (!client_->Execute({.sql = sql, .timeout = std::chrono::minutes(5)}).ok()) std::abort();
    }
  }

  double OnDisk() {
    return Number(
        "SELECT toUInt64(sum(bytes_on_disk)) FROM system.parts WHERE table = 'events' AND active");
  }

  // Everything after merging, in bytes an event, beside what `zstd -3` makes of the lines alone:
  // once the day is over, and before.
  void ReportSizes(benchmark::State& state) {
    MergeWith(kOldTextCodec);
    const double stored_over = OnDisk();
    MergeWith("ZSTD(1)");
    const auto events = static_cast<double>(events_);
    const auto per_event = [this, events](const std::string& columns) {
      return Number(fmt::format("SELECT toUInt64(sum(data_compressed_bytes)) FROM system.columns "
                                "WHERE database = 'yagura' AND table = 'events' AND {}",
                                columns)) /
             events;
    };
    const double stored = OnDisk();
    const double compressed = lines_.Finish();
    state.counters["line_bytes"] = static_cast<double>(raw_bytes_) / events;
    state.counters["stored_raw"] = per_event("name = 'raw'");
    state.counters["stored_fields"] = per_event("name = 'fields'");
    state.counters["stored_id"] = per_event("name = 'id'");
    state.counters["on_disk"] = stored / events;
    state.counters["zstd_3"] = compressed / events;
    state.counters["ratio"] = stored / compressed;
    state.counters["on_disk_day_over"] = stored_over / events;
    state.counters["ratio_day_over"] = stored_over / compressed;
  }

  void Ask(const std::string& filter_text,
           const std::function<StatusOr<eventstore::Query>(const EventQueries&, const Selection&)>&
               make) {
    const auto filter = filter::Filter::Parse(filter_text, filter::EventSchema());
    if (!filter.ok()) std::abort();
    const EventQueries queries(table_);
    Selection selection;
    selection.tenants.tenants.insert("acme");
    selection.window.start = start_;
    selection.window.end = start_ + std::chrono::days(1);
    selection.filter = *filter;
    auto query = make(queries, selection);
    if (!query.ok()) std::abort();
    query->settings["use_query_condition_cache"] = "0";  // or the second round would read nothing
    if (!client_->Select(*query).ok()) std::abort();
  }

  // Until no merge has run for two seconds; the bench ends where that does not come.
  void AwaitMerged() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(10);
    int idle = 0;
    while (idle < 20) {
      if (std::chrono::steady_clock::now() > deadline) std::abort();
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      idle = Number("SELECT count() FROM system.merges") == 0 ? idle + 1 : 0;
    }
  }

  double Parts() {
    return Number("SELECT count() FROM system.parts WHERE table = 'events' AND active");
  }

  // Processor time that the store has used, in seconds.
  double StoreCpu() {
    std::ifstream stat(fmt::format("/proc/{}/stat", store_.process().pid()));
    std::string word;
    double ticks = 0;
    for (int field = 1; stat >> word && field <= 15; ++field) {
      if (field >= 14) ticks += std::stod(word);  // in user mode, in the kernel
    }
    return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
  }

  const EventTable& table() const { return table_; }

 private:
  testing::EventStore store_;
  EventTable table_;
  Retention retention_{400};
  std::shared_ptr<eventstore::Client> client_;
  testing::FortigateLines source_;
  TimePoint start_;
  size_t ranges_ = 0;
  uint64_t entries_ = 0;
  size_t events_ = 0;
  size_t raw_bytes_ = 0;
  CompressedLines lines_;
};

// Processor time of this process, in seconds.
double OwnCpu() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

Bench& Shared() {
  static Bench bench;
  return bench;
}

// Inserts of so many lines, without and with the digests that prove them. Processor time an event:
// of the store until the last insert was answered, with what was merged meanwhile; of the store
// until nothing was left to merge; and of the inserting process.
void InsertFirewallLines(benchmark::State& state) {
  const bool digests = state.range(0) != 0;
  const auto lines = static_cast<size_t>(state.range(1));
  const double store_before = Shared().StoreCpu();
  double own = 0;
  for (auto _ : state) {
    state.PauseTiming();
    const RangeData range = Shared().NextRange(lines);
    state.ResumeTiming();
    const double before = OwnCpu();
    Shared().Insert(range, digests);
    own += OwnCpu() - before;
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(lines));
  const auto per_event = [&state](double seconds) {
    return seconds * 1e6 / static_cast<double>(state.items_processed());
  };
  state.counters["own_cpu_us"] = per_event(own);
  state.counters["store_cpu_us"] = per_event(Shared().StoreCpu() - store_before);
  Shared().AwaitMerged();
  state.counters["store_cpu_us_merged"] = per_event(Shared().StoreCpu() - store_before);
  state.counters["parts"] = Shared().Parts();
}
BENCHMARK(InsertFirewallLines)
    ->ArgNames({"digests", "lines"})
    ->ArgsProduct({{0, 1}, {5'000, 20'000, 50'000}})
    ->Iterations(20)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

// The digests alone: processor time an event, in microseconds.
void DigestFirewallLines(benchmark::State& state) {
  const RangeData range = Shared().NextRange(kEventsPerInsert);
  std::vector<BatchRows> batches;
  for (const auto& entry : range.entries) {
    auto batch = BatchRows::Open(entry.payload);
    if (!batch.ok()) std::abort();
    batches.push_back(*std::move(batch));
  }
  const double before = OwnCpu();
  for (auto _ : state) {
    UnitCollector units;
    for (const BatchRows& batch : batches) units.Add(batch);
    benchmark::DoNotOptimize(units.Take(1));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kEventsPerInsert));
  state.counters["own_cpu_us"] =
      (OwnCpu() - before) * 1e6 / static_cast<double>(state.items_processed());
}
BENCHMARK(DigestFirewallLines)->Iterations(20)->Unit(benchmark::kMillisecond);

void SizeOnDisk(benchmark::State& state) {
  Shared().Fill(1'000'000);
  for (auto _ : state) Shared().ReportSizes(state);
}
BENCHMARK(SizeOnDisk)->Iterations(1)->Unit(benchmark::kMillisecond)->UseRealTime();

void Ask(benchmark::State& state, const std::string& filter, bool count) {
  constexpr size_t kEvents = 1'000'000;
  Shared().Fill(kEvents);
  for (auto _ : state) {
    Shared().Ask(filter, [count](const EventQueries& queries, const Selection& selection) {
      return count ? queries.Count(selection)
                   : queries.Search(selection, SearchOrder::kNewestFirst, {}, 101);
    });
  }
}
BENCHMARK_CAPTURE(Ask, newest_100, "", false)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(Ask, newest_100_blocked, "action = BLOCKED", false)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(Ask, count_original_field, "fields.policyid = 3", true)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(Ask, count_address_range, "src.ip = 10.0.0.0/8", true)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(Ask, count_word_in_raw, "nowheretobefound", true)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void TopSources(benchmark::State& state) {
  const auto key = ParseGroupKey("src.ip", Shared().table());
  for (auto _ : state) {
    Shared().Ask("", [&key](const EventQueries& queries, const Selection& selection) {
      return queries.Groups(selection, {*key}, GroupOrder::kCountDescending, false, 11);
    });
  }
}
BENCHMARK(TopSources)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace yagura::archive

BENCHMARK_MAIN();
