#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <ostream>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "services/detection/domain/hits.h"
#include "services/detection/domain/windows.h"
#include "tests/unit/services/detection/correlation_oracle.h"
#include "tests/unit/services/detection/engine_fixture.h"

// Correlations from the text of a rule and events to findings.
namespace yagura::detection::testing {

inline constexpr int64_t kStart = 1'700'000'000;
inline constexpr int64_t kSpan = 60;
inline constexpr int kShards = 2;
inline constexpr std::chrono::seconds kLateness{30};

// Three rules, each of one word, and a correlation of all of them by `who`.
inline std::string TextOf(std::string_view correlation) {
  std::string text;
  for (const char word : {'a', 'b', 'c'}) {
    text += fmt::format(
        "title: Rule {0}\nname: {0}\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00{0}\n"
        "logsource: {{product: acme}}\ndetection: {{s: {{what: {0}}}, condition: s}}\n---\n",
        word);
  }
  return text +
         "title: Correlated\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c100\nlevel: high\ncorrelation:\n"
         "  rules: [a, b, c]\n  group-by: [who]\n  timespan: 60s\n  type: " +
         std::string(correlation) + "\n";
}

// A correlation of all three rules, and when it holds.
struct CorrelationCase {
  std::string name;
  std::string correlation;
  bool at_end;  // it is decided at the end of windows
  OracleCondition holds;
  // Events have so many different values, from the lowest on. Below 0, further events may undo what
  // earlier ones brought about.
  int values = 10;
  int lowest = 0;
};
inline void PrintTo(const CorrelationCase& one, std::ostream* out) { *out << one.name; }

inline std::vector<CorrelationCase> CorrelationCases() {
  using W = OracleWindow;
  return {
      {"EventCountGte", "event_count\n  condition: {gte: 3}", false,
       [](const W& w) { return w.size() >= 3; }},
      {"EventCountGte5", "event_count\n  condition: {gte: 5}", false,
       [](const W& w) { return w.size() >= 5; }},
      {"EventCountGt", "event_count\n  condition: {gt: 3}", false,
       [](const W& w) { return w.size() > 3; }},
      {"EventCountLt", "event_count\n  condition: {lt: 3}", true,
       [](const W& w) { return w.size() < 3; }},
      {"EventCountLte", "event_count\n  condition: {lte: 3}", true,
       [](const W& w) { return w.size() <= 3; }},
      {"EventCountEq", "event_count\n  condition: {eq: 3}", true,
       [](const W& w) { return w.size() == 3; }},
      {"EventCountNeq", "event_count\n  condition: {neq: 3}", true,
       [](const W& w) { return w.size() != 3; }},
      {"EventCountRange", "event_count\n  condition: {gt: 2, lte: 4}", true,
       [](const W& w) { return w.size() > 2 && w.size() <= 4; }},
      {"ValueCountGte3", "value_count\n  condition: {field: v, gte: 3}", false,
       [](const W& w) { return ValuesOf(w).size() >= 3; }, 4},
      {"ValueCountGte", "value_count\n  condition: {field: v, gte: 4}", false,
       [](const W& w) { return ValuesOf(w).size() >= 4; }, 6},
      {"ValueCountLte", "value_count\n  condition: {field: v, lte: 2}", true,
       [](const W& w) { return ValuesOf(w).size() <= 2; }, 4},
      {"ValueSumGt", "value_sum\n  condition: {field: v, gt: 20}", false,
       [](const W& w) { return SumOf(w) > 20; }},
      {"ValueSumGt7", "value_sum\n  condition: {field: v, gt: 7}", false,
       [](const W& w) { return SumOf(w) > 7; }, 4},
      {"ValueSumSigned", "value_sum\n  condition: {field: v, gt: 3}", false,
       [](const W& w) { return SumOf(w) > 3; }, 8, -3},
      {"ValueSumLt", "value_sum\n  condition: {field: v, lt: 8}", true,
       [](const W& w) { return SumOf(w) < 8; }},
      {"ValueAverage", "value_avg\n  condition: {field: v, gt: 1.5}", true,
       [](const W& w) { return SumOf(w) / static_cast<double>(w.size()) > 1.5; }, 4},
      {"ValueShare", "value_percentile\n  condition: {field: v, lte: 20}", true,
       [](const W& w) { return HasRareValue(w, 20); }, 4},
      {"ValueMedian", "value_percentile\n  condition: {field: v, percentile: 50, gte: 2}", true,
       [](const W& w) { return MedianOf(w) >= 2; }, 4},
      {"Temporal", "temporal", false, [](const W& w) { return RulesOf(w).size() == 3; }},
      {"TemporalOfTwo", "temporal\n  condition: {gte: 2}", false,
       [](const W& w) { return RulesOf(w).size() >= 2; }},
      {"TemporalOfOne", "temporal\n  condition: {lt: 2}", true,
       [](const W& w) { return RulesOf(w).size() < 2; }},
      {"TemporalOrdered", "temporal_ordered", false, [](const W& w) { return InOrder(w, "abc"); }},
  };
}

// What a kill leaves: the windows as they were last saved.
class Saved {
 public:
  void Save(Windows& windows) {
    for (const auto& [key, group] : windows.dirty_groups()) Put(groups_, key, group);
    for (const auto& [key, bundle] : windows.dirty_bundles()) Put(bundles_, key, bundle);
    for (const auto& [number, block] : windows.dirty_blocks()) {
      if (block == nullptr) {
        blocks_.erase(number);
      } else {
        blocks_[number] = *block;
      }
    }
    for (const auto& [shard, id] : windows.dirty_checkpoints()) checkpoints_[shard] = id;
    for (const auto& [shard, time] : windows.dirty_watermarks()) watermarks_[shard] = time;
    windows.Clean();
  }
  void Load(Windows& windows) const {
    for (const auto& [key, bytes] : groups_) {
      internal::v1::Group group;
      EXPECT_TRUE(group.ParseFromString(bytes));
      windows.LoadGroup(key, std::move(group));
    }
    for (const auto& [key, bytes] : bundles_) {
      internal::v1::RuleBundle bundle;
      EXPECT_TRUE(bundle.ParseFromString(bytes));
      windows.LoadBundle(key, std::move(bundle));
    }
    for (const auto& [number, block] : blocks_) windows.LoadBlock(number, block);
    for (const auto& [shard, id] : checkpoints_) windows.LoadCheckpoint(shard, id);
    for (const auto& [shard, time] : watermarks_) windows.LoadWatermark(shard, time);
  }
  size_t groups() const { return groups_.size(); }
  size_t bundles() const { return bundles_.size(); }
  size_t blocks() const { return blocks_.size(); }

 private:
  static void Put(std::map<std::string, std::string>& all, const std::string& key,
                  const google::protobuf::Message* message) {
    if (message == nullptr) {
      all.erase(key);
    } else {
      all[key] = message->SerializeAsString();
    }
  }
  std::map<std::string, std::string> groups_;
  std::map<std::string, std::string> bundles_;
  std::map<uint64_t, std::string> blocks_;
  std::map<uint32_t, std::string> checkpoints_;
  std::map<uint32_t, int64_t> watermarks_;
};

struct Arrival {
  OracleEvent event;
  int64_t received = 0;
  int shard = 0;
};

// One text, from events to findings; everything between two saves can be lost and done again.
class Bench {
 public:
  explicit Bench(const std::string& text) : Bench(text, {kLateness, 10'000}) {}
  Bench(const std::string& text, Windows::Limits limits)
      : limits_(limits), windows_(std::make_unique<Windows>(limits)) {
    auto parsed = ParseSigma(text);
    EXPECT_TRUE(parsed.ok()) << parsed.status() << text;
    matcher_ = std::make_unique<BatchMatcher>(
        RuleSet::Build({{"", std::make_shared<const ParsedRule>(*std::move(parsed))}}));
  }

  internal::v1::HitBatch HitsOf(int shard, const std::vector<Arrival>& arrivals) {
    std::vector<event::v1::Event> events;
    int64_t received = 0;
    for (const auto& arrival : arrivals) {
      auto event = MakeEvent(
          {{"what", arrival.event.what}, {"who", arrival.event.group}, {"v", arrival.event.value}});
      *event.mutable_event_time() =
          ToProto(TimePoint(std::chrono::seconds(kStart + arrival.event.time)));
      *event.mutable_receive_time() =
          ToProto(TimePoint(std::chrono::seconds(kStart + arrival.received)));
      received = std::max(received, arrival.received);
      events.push_back(std::move(event));
    }
    const HitSource source{shard, fmt::format("1-{}", ++sequence_[shard]), 1};
    event::BatchBuilder builder({"acme", event::BatchIdOf({fmt::format("{}", shard), source.id}),
                                 TimePoint(std::chrono::seconds(1))});
    for (const auto& event : events) builder.Add(event);
    auto batch = *event::BatchReader::Open(builder.Finish());
    auto found = FindHits(
        *matcher_, batch, source, [](std::string_view) { return 0; }, std::chrono::minutes(10));
    EXPECT_TRUE(found.ok()) << found.status();
    if (found->hits.empty()) return Time(shard, received, false);
    return found->hits[0].second;
  }

  // How far a shard has come.
  internal::v1::HitBatch Time(int shard, int64_t received, bool counts = true) {
    internal::v1::HitBatch batch;
    batch.set_tenant("acme");
    batch.set_source_shard(static_cast<uint32_t>(shard));
    batch.set_source_id(fmt::format("1-{}", counts ? ++sequence_[shard] : sequence_[shard]));
    batch.set_received((kStart + received) * 1'000'000'000);
    return batch;
  }

  void Apply(const internal::v1::HitBatch& batch) { Note(windows_->Apply(batch)); }
  void Save() { saved_.Save(*windows_); }
  void Kill() {
    windows_ = std::make_unique<Windows>(limits_);
    saved_.Load(*windows_);
  }
  void Note(const std::vector<Windows::Outcome>& outcomes) {
    for (const auto& outcome : outcomes) {
      const auto& finding = outcome.finding;
      auto& kept = findings_[finding.name()];
      if (!outcome.closing && !finding.title().empty()) titles_[finding.name()] = finding.title();
      kept.last = std::max(kept.last, finding.last_event_time().seconds() - kStart);
      const int64_t first = finding.first_event_time().seconds() - kStart;
      kept.first = kept.count == 0 ? first : std::min(kept.first, first);
      kept.count = std::max(kept.count, finding.event_count());
      if (!outcome.closing) {
        for (const auto& field : finding.matched_fields()) {
          if (field.name() == "who") kept.group = field.value();
        }
        latest_ = finding;
      }
    }
  }

  std::multiset<OracleFinding> Findings() const {
    std::multiset<OracleFinding> all;
    for (const auto& [name, finding] : findings_) all.insert(finding);
    return all;
  }
  const std::map<std::string, std::string>& titles() const { return titles_; }
  const v1::Finding& latest() const { return latest_; }
  const Saved& saved() const { return saved_; }
  Windows& windows() { return *windows_; }

 private:
  const Windows::Limits limits_;
  std::unique_ptr<Windows> windows_;
  std::unique_ptr<BatchMatcher> matcher_;
  Saved saved_;
  std::map<int, int> sequence_;
  std::map<std::string, OracleFinding> findings_;
  std::map<std::string, std::string> titles_;
  v1::Finding latest_;
};

// Batches of each shard in order, the shards mixed at random; repeats, kills before and after
// saving.
inline std::multiset<OracleFinding> RunShards(std::mt19937& random, const std::string& text,
                                              const std::vector<Arrival>& arrivals, bool trouble) {
  // Shards are mixed at will: none is ever silent.
  Bench bench(text, {kLateness, 10'000, std::chrono::hours(24)});
  std::vector<std::vector<internal::v1::HitBatch>> streams(kShards);
  for (int shard = 0; shard < kShards; ++shard) {
    streams[static_cast<size_t>(shard)].push_back(bench.Time(shard, 0));
    std::vector<Arrival> part;
    for (const auto& arrival : arrivals) {
      if (arrival.shard != shard) continue;
      part.push_back(arrival);
      if (random() % 4 != 0) continue;
      streams[static_cast<size_t>(shard)].push_back(bench.HitsOf(shard, part));
      part.clear();
    }
    if (!part.empty()) streams[static_cast<size_t>(shard)].push_back(bench.HitsOf(shard, part));
    streams[static_cast<size_t>(shard)].push_back(bench.Time(shard, 80'000));
  }
  std::vector<size_t> next(kShards, 0);
  for (int shard = 0; shard < kShards; ++shard) bench.Apply(streams[static_cast<size_t>(shard)][0]);
  bench.Save();
  while (next[0] < streams[0].size() || next[1] < streams[1].size()) {
    const auto shard = random() % kShards;
    if (next[shard] >= streams[shard].size()) continue;
    const auto& batch = streams[shard][next[shard]];
    bench.Apply(batch);
    const auto fate = trouble ? random() % 4 : 3;
    if (fate == 0) {
      bench.Kill();  // nothing was saved: the batch comes again
      continue;
    }
    bench.Save();
    if (fate == 1) bench.Kill();
    if (fate == 2) bench.Apply(batch);  // comes twice
    ++next[shard];
  }
  for (int shard = 0; shard < kShards; ++shard) bench.Apply(bench.Time(shard, 1'000'000));
  bench.Save();
  EXPECT_EQ(bench.saved().groups(), 0U);
  EXPECT_EQ(bench.saved().bundles(), 0U);
  EXPECT_EQ(bench.saved().blocks(), 0U);
  return bench.Findings();
}

}  // namespace yagura::detection::testing
