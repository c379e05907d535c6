#include <memory>
#include <random>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "services/detection/domain/hits.h"
#include "services/detection/domain/pending.h"
#include "services/detection/domain/windows.h"
#include "tests/unit/services/detection/correlation_oracle.h"
#include "tests/unit/services/detection/engine_fixture.h"

namespace yagura::detection {
namespace {

using ::testing::ElementsAre;
using testing::FindAtEnd;
using testing::FindWhileGrowing;
using ::testing::IsEmpty;
using testing::MakeEvent;
using testing::OracleCondition;
using testing::OracleEvent;
using testing::OracleFinding;
using testing::OracleWindow;
using ::testing::SizeIs;

constexpr int64_t kStart = 1'700'000'000;
constexpr int64_t kSpan = 60;
constexpr int kShards = 2;
constexpr std::chrono::seconds kLateness{30};

// Three rules, each of one word, and a correlation of all of them by `who`.
std::string TextOf(std::string_view correlation) {
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

struct Case {
  std::string name;
  std::string correlation;
  bool at_end;
  OracleCondition holds;
};

void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

// Batches of each shard in order, the shards mixed at random; repeats, kills before and after
// saving.
std::multiset<OracleFinding> RunShards(std::mt19937& random, const std::string& text,
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

class CorrelationProperty : public ::testing::TestWithParam<Case> {
 protected:
  // `lateness`: how late events may come, seconds.
  static std::vector<Arrival> Random(std::mt19937& random, int lateness, bool spread) {
    std::vector<Arrival> arrivals;
    const int count = 20 + static_cast<int>(random() % 60);
    for (int i = 0; i < count; ++i) {
      Arrival arrival;
      arrival.event.time = static_cast<int64_t>(random() % 500);
      const int who = static_cast<int>(random() % 3);
      arrival.event.group = fmt::format("user{}", who);
      arrival.event.what = std::string(1, static_cast<char>('a' + random() % 3));
      arrival.event.value = fmt::format("{}", random() % 10);
      arrival.received = arrival.event.time;
      if (lateness > 0)
        arrival.received += static_cast<int64_t>(random() % static_cast<uint32_t>(lateness));
      arrival.shard = spread ? static_cast<int>(random() % kShards) : who % kShards;
      arrivals.push_back(std::move(arrival));
    }
    std::ranges::stable_sort(arrivals, {}, &Arrival::received);
    return arrivals;
  }

  static std::multiset<OracleFinding> Expected(const std::vector<Arrival>& arrivals) {
    std::vector<OracleEvent> events;
    for (const auto& arrival : arrivals) events.push_back(arrival.event);
    return GetParam().at_end ? FindAtEnd(events, kSpan, GetParam().holds)
                             : FindWhileGrowing(events, kSpan, GetParam().holds);
  }

  static std::multiset<OracleFinding> Run(std::mt19937& random,
                                          const std::vector<Arrival>& arrivals, bool trouble) {
    return RunShards(random, TextOf(GetParam().correlation), arrivals, trouble);
  }
};

TEST_P(CorrelationProperty, FindsWhatTheOracleFinds) {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    const auto arrivals = Random(random, 0, false);
    ASSERT_EQ(Run(random, arrivals, false), Expected(arrivals));
  }
}

TEST_P(CorrelationProperty, KillsAndRepeatsChangeNothing) {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    // A window that is decided at its end does not depend on which shard was faster either.
    const auto arrivals = Random(random, GetParam().at_end ? 30 : 0, GetParam().at_end);
    ASSERT_EQ(Run(random, arrivals, true), Expected(arrivals));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Types, CorrelationProperty,
    ::testing::Values(Case{"EventCountGte", "event_count\n  condition: {gte: 3}", false,
                           [](const OracleWindow& w) { return w.size() >= 3; }},
                      Case{"EventCountGt", "event_count\n  condition: {gt: 3}", false,
                           [](const OracleWindow& w) { return w.size() > 3; }},
                      Case{"EventCountLt", "event_count\n  condition: {lt: 3}", true,
                           [](const OracleWindow& w) { return w.size() < 3; }},
                      Case{"EventCountLte", "event_count\n  condition: {lte: 3}", true,
                           [](const OracleWindow& w) { return w.size() <= 3; }},
                      Case{"EventCountEq", "event_count\n  condition: {eq: 3}", true,
                           [](const OracleWindow& w) { return w.size() == 3; }},
                      Case{"EventCountNeq", "event_count\n  condition: {neq: 3}", true,
                           [](const OracleWindow& w) { return w.size() != 3; }},
                      Case{"EventCountRange", "event_count\n  condition: {gt: 2, lte: 4}", true,
                           [](const OracleWindow& w) { return w.size() > 2 && w.size() <= 4; }},
                      Case{"ValueCountGte", "value_count\n  condition: {field: v, gte: 4}", false,
                           [](const OracleWindow& w) { return testing::ValuesOf(w).size() >= 4; }},
                      Case{"ValueCountLte", "value_count\n  condition: {field: v, lte: 2}", true,
                           [](const OracleWindow& w) { return testing::ValuesOf(w).size() <= 2; }},
                      Case{"ValueSumGt", "value_sum\n  condition: {field: v, gt: 20}", false,
                           [](const OracleWindow& w) { return testing::SumOf(w) > 20; }},
                      Case{"ValueSumLt", "value_sum\n  condition: {field: v, lt: 8}", true,
                           [](const OracleWindow& w) { return testing::SumOf(w) < 8; }},
                      Case{"ValueAverage", "value_avg\n  condition: {field: v, gt: 4.5}", true,
                           [](const OracleWindow& w) {
                             return testing::SumOf(w) / static_cast<double>(w.size()) > 4.5;
                           }},
                      Case{"ValueShare", "value_percentile\n  condition: {field: v, lte: 20}", true,
                           [](const OracleWindow& w) { return testing::HasRareValue(w, 20); }},
                      Case{"ValueMedian",
                           "value_percentile\n  condition: {field: v, percentile: 50, gte: 6}",
                           true, [](const OracleWindow& w) { return testing::MedianOf(w) >= 6; }},
                      Case{"Temporal", "temporal", false,
                           [](const OracleWindow& w) { return testing::RulesOf(w).size() == 3; }},
                      Case{"TemporalOfTwo", "temporal\n  condition: {gte: 2}", false,
                           [](const OracleWindow& w) { return testing::RulesOf(w).size() >= 2; }},
                      Case{"TemporalOfOne", "temporal\n  condition: {lt: 2}", true,
                           [](const OracleWindow& w) { return testing::RulesOf(w).size() < 2; }},
                      Case{"TemporalOrdered", "temporal_ordered", false,
                           [](const OracleWindow& w) { return testing::InOrder(w, "abc"); }}),
    [](const auto& one) { return one.param.name; });

Arrival At(int64_t time, std::string what, std::string who, std::string value = "1") {
  return {{time, std::move(who), std::move(what), std::move(value)}, time, 0};
}

// "Many failures, then a success": the second example of the specification.
std::string ChainText(std::string_view inner, std::string_view extra = "") {
  return fmt::format(
      "title: Failed\nname: a\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00a\n"
      "logsource: {{product: acme}}\ndetection: {{s: {{what: a}}, condition: s}}\n---\n"
      "title: Success\nname: b\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00b\n"
      "logsource: {{product: acme}}\ndetection: {{s: {{what: b}}, condition: s}}\n---\n"
      "title: Many failed\nname: many\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c101\ncorrelation:\n"
      "  rules: [a]\n  group-by: [v]\n  timespan: 60s\n  {}\n---\n"
      "title: Broken in\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c102\nlevel: critical\ncorrelation:\n"
      "  type: temporal_ordered\n  rules: [many, b]\n  group-by: [who]\n  timespan: 5m\n{}",
      inner, extra);
}

TEST(CorrelationChain, ASuccessAfterManyFailuresIsFound) {
  Bench bench(ChainText("type: event_count\n  condition: {gte: 3}"));
  // The failures are counted by v, the host; the success is of one of the users that failed there.
  bench.Apply(
      bench.HitsOf(0, {At(0, "a", "eve", "h"), At(1, "a", "bob", "h"), At(2, "a", "eve", "h")}));
  EXPECT_THAT(bench.Findings(), IsEmpty());
  bench.Save();
  bench.Kill();
  bench.Apply(bench.HitsOf(0, {At(100, "b", "carol", "h")}));
  EXPECT_THAT(bench.Findings(), IsEmpty());
  bench.Apply(bench.HitsOf(0, {At(120, "b", "bob", "x")}));
  ASSERT_THAT(bench.Findings(), SizeIs(1));
  EXPECT_EQ(bench.latest().title(), "Broken in");
  EXPECT_EQ(bench.latest().severity(), event::v1::CRITICAL);
  EXPECT_EQ(bench.Findings().begin()->group, "bob");
  // Of the failures and of the success.
  EXPECT_THAT(bench.latest().evidence(), SizeIs(4));
}

TEST(CorrelationChain, ASuccessBeforeOrTooLateIsNone) {
  Bench bench(ChainText("type: event_count\n  condition: {gte: 3}"));
  bench.Apply(bench.HitsOf(0, {At(0, "b", "eve", "h")}));
  bench.Apply(
      bench.HitsOf(0, {At(1, "a", "eve", "h"), At(2, "a", "eve", "h"), At(3, "a", "eve", "h")}));
  bench.Apply(bench.HitsOf(0, {At(304, "b", "eve", "h")}));
  EXPECT_THAT(bench.Findings(), IsEmpty());
}

TEST(CorrelationChain, FailuresThatGoOnKeepCounting) {
  Bench bench(ChainText("type: event_count\n  condition: {gte: 3}"));
  std::vector<Arrival> failures;
  for (int i = 0; i < 30; ++i) failures.push_back(At(i * 30, "a", "eve", "h"));
  bench.Apply(bench.HitsOf(0, failures));
  bench.Apply(bench.HitsOf(0, {At(1000, "b", "eve", "h")}));
  EXPECT_THAT(bench.Findings(), SizeIs(1));
}

TEST(CorrelationChain, GenerateTellsOfTheInnerOnesToo) {
  Bench bench(ChainText("type: event_count\n  condition: {gte: 3}", "  generate: true\n"));
  bench.Apply(bench.HitsOf(0, {At(1, "a", "eve", "h"), At(2, "a", "eve", "h"),
                               At(3, "a", "eve", "h"), At(9, "b", "eve", "h")}));
  std::vector<std::string> titles;
  for (const auto& [name, title] : bench.titles()) titles.push_back(title);
  std::ranges::sort(titles);
  EXPECT_THAT(titles, ElementsAre("Broken in", "Many failed", "Success"));
}

TEST(CorrelationChain, AnInnerOneMayBeDecidedAtTheEndOfItsWindow) {
  Bench bench(ChainText("type: event_count\n  condition: {eq: 2}"));
  bench.Apply(
      bench.HitsOf(0, {At(1, "a", "eve", "h"), At(2, "a", "eve", "h"), At(9, "b", "eve", "h")}));
  bench.Save();
  bench.Kill();
  EXPECT_THAT(bench.Findings(), IsEmpty());
  bench.Apply(bench.Time(0, 100));  // 1 + 60 + 30 are over
  ASSERT_THAT(bench.Findings(), SizeIs(1));
  EXPECT_EQ(bench.Findings().begin()->last, 9);
}

// Windows of windows: twice in a minute on one host, and so often in five minutes of one user.
struct Chain {
  std::string name;
  std::string outer;
  bool at_end;
  OracleCondition holds;
};
void PrintTo(const Chain& one, std::ostream* out) { *out << one.name; }

class ChainProperty : public ::testing::TestWithParam<Chain> {
 protected:
  static std::string Text() {
    return fmt::format(
        "title: Seen\nname: a\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00a\n"
        "logsource: {{product: acme}}\ndetection: {{s: {{what: a}}, condition: s}}\n---\n"
        "title: Twice\nname: twice\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c101\ncorrelation:\n"
        "  type: event_count\n  rules: [a]\n  group-by: [who, v]\n  timespan: 60s\n"
        "  condition: {{eq: 2}}\n---\n"
        "title: Outer\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c102\ncorrelation:\n"
        "  type: event_count\n  rules: [twice]\n  group-by: [who]\n  timespan: 5m\n"
        "  condition: {}\n",
        GetParam().outer);
  }
  // Times of activity with nothing between: the sources come far at one step.
  static std::vector<Arrival> Bursts(std::mt19937& random) {
    std::vector<Arrival> arrivals;
    for (int64_t begin = 0, burst = 0; burst < 4; ++burst) {
      const int count = 10 + static_cast<int>(random() % 30);
      for (int i = 0; i < count; ++i) {
        Arrival arrival;
        arrival.event.time = begin + static_cast<int64_t>(random() % 700);
        arrival.event.group = fmt::format("user{}", random() % 2);
        arrival.event.what = "a";
        arrival.event.value = fmt::format("{}", random() % 4);
        arrival.received = arrival.event.time + static_cast<int64_t>(random() % 30);
        arrival.shard = static_cast<int>(random() % kShards);
        arrivals.push_back(std::move(arrival));
      }
      begin += 730 + static_cast<int64_t>(random() % 15'000);
    }
    std::ranges::stable_sort(arrivals, {}, &Arrival::received);
    return arrivals;
  }
  static std::multiset<OracleFinding> Expected(const std::vector<Arrival>& arrivals) {
    std::vector<OracleEvent> events;
    for (const auto& arrival : arrivals) {
      events.push_back(arrival.event);
      events.back().group += "/" + arrival.event.value;
    }
    std::vector<OracleEvent> inner;
    for (const auto& window :
         FindAtEnd(events, kSpan, [](const auto& w) { return w.size() == 2; })) {
      inner.push_back({window.last, window.group.substr(0, window.group.find('/')), "a", "1"});
    }
    return GetParam().at_end ? FindAtEnd(inner, 300, GetParam().holds)
                             : FindWhileGrowing(inner, 300, GetParam().holds);
  }
};

TEST_P(ChainProperty, FindsWhatTheOracleFindsHoweverFarTimeComesAtOneStep) {
  size_t found = 0;
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    const auto arrivals = Bursts(random);
    const auto expected = Expected(arrivals);
    found += expected.size();
    ASSERT_EQ(RunShards(random, Text(), arrivals, seed % 2 == 0), expected);
  }
  EXPECT_GT(found, 40U);
}

INSTANTIATE_TEST_SUITE_P(
    Outer, ChainProperty,
    ::testing::Values(Chain{"Few", "{lt: 3}", true, [](const auto& w) { return w.size() < 3; }},
                      Chain{"Two", "{eq: 2}", true, [](const auto& w) { return w.size() == 2; }},
                      Chain{"AtLeastTwo", "{gte: 2}", false,
                            [](const auto& w) { return w.size() >= 2; }}),
    [](const auto& one) { return one.param.name; });

TEST(Correlation, AliasesJoinDifferentFieldsOfDifferentRules) {
  Bench bench(
      "title: Error\nname: a\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00a\n"
      "logsource: {product: acme}\ndetection: {s: {what: a}, condition: s}\n---\n"
      "title: Connection\nname: b\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c00b\n"
      "logsource: {product: acme}\ndetection: {s: {what: b}, condition: s}\n---\n"
      "title: Both\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c100\ncorrelation:\n  type: temporal\n"
      "  rules: [a, b]\n  group-by: [host]\n  timespan: 10s\n  aliases:\n    host:\n      a: who\n"
      "      b: v\n");
  bench.Apply(bench.HitsOf(0, {At(1, "a", "h1", "x"), At(2, "b", "h1", "h2")}));
  EXPECT_THAT(bench.Findings(), IsEmpty());
  bench.Apply(bench.HitsOf(0, {At(3, "b", "x", "h1")}));
  ASSERT_THAT(bench.Findings(), SizeIs(1));
  EXPECT_EQ(bench.latest().matched_fields(0).name(), "host");
  EXPECT_EQ(bench.latest().matched_fields(0).value(), "h1");
}

TEST(Correlation, AnEventWithoutTheMeasuredValueIsNotCounted) {
  Bench bench(TextOf("value_sum\n  condition: {field: v, gte: 4}"));
  bench.Apply(
      bench.HitsOf(0, {At(1, "a", "eve", "2"), At(2, "a", "eve", "much"), At(3, "a", "eve", "2")}));
  ASSERT_THAT(bench.Findings(), SizeIs(1));
  EXPECT_EQ(bench.latest().event_count(), 2U);
}

TEST(Correlation, TellsWhatItMeasured) {
  Bench sum(TextOf("value_sum\n  condition: {field: v, gte: 4}"));
  sum.Apply(sum.HitsOf(0, {At(1, "a", "eve", "2"), At(2, "b", "eve", "2.5")}));
  ASSERT_THAT(sum.latest().matched_fields(), SizeIs(2));
  EXPECT_EQ(sum.latest().matched_fields(1).name(), "value_sum(v)");
  EXPECT_EQ(sum.latest().matched_fields(1).value(), "4.5");
  Bench share(TextOf("value_percentile\n  condition: {field: v, lte: 25}"));
  share.Apply(share.HitsOf(0, {At(1, "a", "eve", "x"), At(2, "b", "eve", "x"),
                               At(3, "b", "eve", "y"), At(4, "b", "eve", "x")}));
  share.Apply(share.Time(0, 200));
  ASSERT_THAT(share.latest().matched_fields(), SizeIs(3));
  EXPECT_EQ(share.latest().matched_fields(2).value(), "y");
}

TEST(Correlation, AWindowWaitsForTheSlowerShardButNotForASilentOne) {
  Bench bench(TextOf("event_count\n  condition: {lt: 3}"));
  bench.Apply(bench.Time(1, 0));
  bench.Apply(bench.HitsOf(0, {At(1, "a", "eve")}));
  bench.Apply(bench.Time(0, 500));
  EXPECT_THAT(bench.Findings(), IsEmpty());
  bench.Apply(bench.Time(0, 700));  // the other one is ten minutes behind
  EXPECT_THAT(bench.Findings(), SizeIs(1));
}

TEST(Correlation, WhatComesTooLateForItsWindowIsNotCounted) {
  Bench bench(TextOf("event_count\n  condition: {lt: 3}"));
  bench.Apply(bench.Time(0, 500));
  bench.Apply(bench.HitsOf(0, {{{469, "eve", "a", "1"}, 501, 0}}));
  EXPECT_EQ(bench.windows().late(), 1U);
  EXPECT_EQ(bench.windows().size(), 0U);
  bench.Apply(bench.HitsOf(0, {{{471, "eve", "a", "1"}, 501, 0}}));
  EXPECT_EQ(bench.windows().size(), 1U);
}

TEST(Correlation, OfflineWindowsEndWithFinish) {
  Windows::Limits limits{kLateness, 10};
  limits.offline = true;
  Bench bench(TextOf("event_count\n  condition: {lt: 3}"), limits);
  bench.Apply(bench.HitsOf(0, {At(5000, "a", "eve")}));
  bench.Apply(bench.HitsOf(0, {At(1, "a", "eve")}));
  EXPECT_THAT(bench.Findings(), IsEmpty());
  bench.Note(bench.windows().Finish());
  EXPECT_THAT(bench.Findings(), SizeIs(2));
}

TEST(Pending, IsBoundedAndKeepsSumsExact) {
  internal::v1::RuleSummary rule;
  rule.set_type(internal::v1::VALUE_SUM);
  rule.set_timespan_nanos(INT64_MAX);
  internal::v1::Group group;
  constexpr int kEvents = 100'000;
  for (int i = 0; i < kEvents; ++i) ASSERT_GE(AddPending(group, rule, {i, 0, 2}), 0);
  EXPECT_LE(group.pending_size(), kMaxPending);
  EXPECT_EQ(group.pending(0), 0);
  EXPECT_DOUBLE_EQ(Judge(group, rule, {0, group.pending_size() - 1}).measure, 2.0 * kEvents);
  rule.set_type(internal::v1::VALUE_AVERAGE);
  EXPECT_DOUBLE_EQ(Judge(group, rule, {0, group.pending_size() - 1}).measure, 2.0);
}

TEST(Pending, KeepsEveryValueUpToTheBound) {
  internal::v1::RuleSummary rule;
  rule.set_type(internal::v1::VALUE_COUNT);
  rule.set_timespan_nanos(INT64_MAX);
  internal::v1::Group group;
  for (int i = 0; i < 100'000; ++i) {
    AddPending(group, rule, {i, static_cast<uint64_t>(i % 9000), 0});
  }
  EXPECT_LE(group.pending_size(), kMaxPending);
  EXPECT_EQ(Judge(group, rule, {0, group.pending_size() - 1}).measure, 9000);
}

TEST(Pending, EstimatesPercentilesBeyondTheBound) {
  internal::v1::RuleSummary rule;
  rule.set_type(internal::v1::VALUE_PERCENTILE);
  rule.set_percentile(90);
  rule.set_timespan_nanos(INT64_MAX);
  internal::v1::Group group;
  std::mt19937 random(1);
  for (int i = 0; i < 200'000; ++i) {
    AddPending(group, rule, {i, 0, static_cast<double>(random() % 1000)});
  }
  EXPECT_LE(group.pending_size(), kMaxPending);
  EXPECT_NEAR(Judge(group, rule, {0, group.pending_size() - 1}).measure, 900, 20);
}

}  // namespace
}  // namespace yagura::detection
