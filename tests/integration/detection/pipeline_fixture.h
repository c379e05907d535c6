#pragma once

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/event/batch_codec.h"
#include "common/redis/pool.h"
#include "common/store/resource_name.h"
#include "common/stream/leased_cursor.h"
#include "common/stream/worker.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"
#include "services/detection/domain/rule_resource.h"
#include "services/detection/storage/finding_sink.h"
#include "services/detection/storage/kinds.h"
#include "services/detection/storage/rule_set_store.h"
#include "services/detection/storage/window_store.h"
#include "services/detection/workers/match_worker.h"
#include "services/detection/workers/rule_book.h"
#include "services/detection/workers/window_worker.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::detection {

using stream::LeasedCursor;
using yagura::testing::IsOk;
using yagura::testing::StatusIs;

inline constexpr std::string_view kBruteForce = R"(title: Log-in failed
id: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001
logsource:
  product: acme
detection:
  s:
    what: failed
  condition: s
level: informational
---
title: Many failed log-ins
id: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002
correlation:
  type: event_count
  rules: [4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001]
  group-by: [who]
  timespan: 1m
  condition:
    gte: 5
level: high
)";
inline constexpr std::string_view kMalware = R"(title: Malware
id: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c003
logsource:
  product: acme
detection:
  s:
    what: malware
  condition: s
level: critical
)";

// Few failures of a user within a minute, and few of those after many.
inline constexpr std::string_view kFew = R"(title: Log-in failed
name: failed
id: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c011
logsource: {product: acme}
detection: {s: {what: failed}, condition: s}
---
title: Few failed log-ins
id: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c012
name: few
correlation:
  type: event_count
  rules: [failed]
  group-by: [who]
  timespan: 1m
  condition: {lte: 4}
---
title: Few and few again
id: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c013
correlation:
  type: event_count
  rules: [few]
  group-by: [who]
  timespan: 1h
  condition: {gte: 2}
  generate: true
)";

inline const stream::Topic kEvents{"events", 2, {"detection"}};
inline const stream::Topic kHits{"hits", 2, {"detection-windows"}};
inline const stream::Topic kFindings{"findings", 2, {"notification"}};
inline constexpr std::chrono::minutes kFold{10};

// Everything of one process: what a kill throws away.
struct Process {
  // `announce`: read the rules of the store at once, as a service that starts does.
  explicit Process(std::shared_ptr<redis::Pool> flow, bool announce = true,
                   MatchWorker::MatchStep match_step = FindHits,
                   std::shared_ptr<FindingSink> sink = nullptr)
      : pool(std::move(flow)),
        rules(pool, RuleResourceKind(), SystemClock()),
        findings(pool, FindingKind(), SystemClock()),
        rule_sets(std::make_shared<RuleSetStore>(pool, kEvents, "detection")),
        rule_book(std::make_shared<RuleBook>(rules, pool, rule_sets, metrics, Logger::Null())),
        match(rule_book, std::make_shared<WatermarkStore>(pool),
              std::make_shared<stream::Producer>(pool, kHits, stream::Producer::Options{}), kFold,
              metrics, std::move(match_step)),
        window(std::make_shared<WindowStore>(pool, kHits, "detection-windows"),
               sink != nullptr ? std::move(sink)
                               : std::make_shared<FindingSink>(
                                     findings, std::make_shared<stream::Producer>(
                                                   pool, kFindings, stream::Producer::Options{})),
               // Shards are read at will, and batches say 1970: none is silent for that.
               Windows::Limits{.lateness = std::chrono::seconds(60),
                               .silence = std::chrono::hours(24 * 365 * 100)},
               metrics) {
    if (announce) {
      EXPECT_THAT(rule_book->Reload(), IsOk());
    }
  }

  std::shared_ptr<redis::Pool> pool;
  MetricsRegistry metrics;
  store::Store<v1::Rule> rules;
  store::Store<v1::Finding> findings;
  std::shared_ptr<RuleSetStore> rule_sets;
  std::shared_ptr<RuleBook> rule_book;
  MatchWorker match;
  WindowWorker window;
};

// Events of two devices, the rules that count them, and workers that a test drives by hand.
class DetectionPipelineTest : public ::testing::Test {
 protected:
  void SetUp() override { Prepare(); }

  // An empty Redis with the two rules.
  void Prepare() {
    auto pool = redis_.NewPool();
    ASSERT_THAT(pool->Command({"FLUSHALL"}), IsOk());
    for (const auto& topic : {kEvents, kHits, kFindings}) {
      ASSERT_THAT(stream::DeclareReaders(*pool, topic), IsOk());
    }
    ASSERT_THAT(store::RegisterTenant(*pool, "provider"), IsOk());
    for (const std::string_view text : {kBruteForce, kMalware}) AddRule(text);
  }

  void AddRule(std::string_view text) {
    store::Store<v1::Rule> rules(redis_.NewPool(), RuleResourceKind(), SystemClock());
    v1::Rule rule;
    rule.set_text(std::string(text));
    rule.set_enabled(true);
    const auto parsed = CompleteRule(rule);
    ASSERT_THAT(parsed, IsOk());
    rule.set_name(RuleName("provider", *parsed));
    ASSERT_THAT(rules.Create({.principal = "test", .method = "test"}, rule), IsOk());
  }

  static event::v1::Event MakeEvent(int second, std::string_view what, std::string_view who) {
    event::v1::Event event;
    event.set_product("acme.box");
    event.set_raw(fmt::format("what={} who={} at={}", what, who, second));
    *event.mutable_event_time() = ToProto(TimePoint(std::chrono::seconds(1'700'000'000 + second)));
    *event.mutable_receive_time() = event.event_time();
    event.set_device(std::string(who.substr(0, 2)));
    event.set_user(std::string(who));
    const auto add = [&event](std::string_view name, std::string_view value) {
      auto* field = event.add_fields();
      field->set_name(std::string(name));
      field->set_value(std::string(value));
    };
    add("what", what);
    add("who", who);
    return event;
  }

  // 60 batches of two devices, each device a shard: bursts of failures, lone failures, malware.
  void Produce() {
    stream::Producer producer(redis_.NewPool(), kEvents, {});
    for (int number = 0; number < 60; ++number) ProduceBatch(producer, number);
  }

  static void ProduceBatch(stream::Producer& producer, int number) {
    const int device = number % 2;
    const std::string batch_id = event::BatchIdOf({fmt::format("{}", number)});
    event::BatchBuilder builder({"acme", batch_id, TimePoint(std::chrono::seconds(1))});
    const int second = number * 7;
    for (int user = 0; user < 3; ++user) {
      const std::string who = fmt::format("d{}-user{}", device, user);
      // user0 fails all the time, user1 in bursts, user2 too seldom.
      const bool fails =
          user == 0 || (user == 1 && number % 20 < 8) || (user == 2 && number % 20 == 0);
      builder.Add(MakeEvent(second + user, fails ? "failed" : "fine", who));
      if (user == 1 && number % 20 < 8) builder.Add(MakeEvent(second + 3, "failed", who));
    }
    if (number % 13 == 0) {
      builder.Add(MakeEvent(second, "malware", fmt::format("d{}-host", device)));
    }
    ASSERT_THAT(producer.Append(device, batch_id, builder.Finish()), IsOk());
  }

  // A reader's place in one shard. The same holder again: a process that was killed and came back.
  LeasedCursor Take(const stream::Topic& topic, int shard) {
    auto cursor = LeasedCursor::Acquire(redis_.NewPool(2), topic, shard,
                                        {topic.readers[0], "holder", std::chrono::minutes(10)});
    EXPECT_THAT(cursor, IsOk());
    return std::move(*cursor);
  }

  using Handle = std::function<absl::Status(Process&, const stream::Worker::Context&,
                                            const std::vector<stream::Entry>&)>;
  static absl::Status Match(Process& process, const stream::Worker::Context& context,
                            const std::vector<stream::Entry>& entries) {
    return process.match.Handle(context, entries);
  }
  static absl::Status Window(Process& process, const stream::Worker::Context& context,
                             const std::vector<stream::Entry>& entries) {
    return process.window.Handle(context, entries);
  }

  // Reads a shard to its end without any trouble.
  void Drain(const stream::Topic& topic, int shard, const Handle& handle, Process& process) {
    LeasedCursor cursor = Take(topic, shard);
    while (true) {
      const auto entries = cursor.Read(16, 1 << 20, {});
      ASSERT_THAT(entries, IsOk());
      if (entries->empty()) return;
      ASSERT_THAT(handle(process, {shard, cursor.epoch()}, *entries), IsOk());
      ASSERT_THAT(cursor.Commit(entries->back().id), IsOk());
    }
  }

  // One step of one shard that may be killed before or after any effect. True at the end.
  bool Step(const stream::Topic& topic, int shard, const Handle& handle, std::mt19937& random) {
    LeasedCursor cursor = Take(topic, shard);
    const auto entries = cursor.Read(1 + random() % 5, 1 << 20, {});
    EXPECT_THAT(entries, IsOk());
    if (entries->empty()) return true;
    auto process = std::make_unique<Process>(redis_.NewPool());
    const stream::Worker::Context context{shard, cursor.epoch()};
    switch (random() % 4) {
      case 0:  // all is well
        EXPECT_THAT(handle(*process, context, *entries), IsOk());
        EXPECT_THAT(cursor.Commit(entries->back().id), IsOk());
        break;
      case 1:  // killed before the cursor moves
        EXPECT_THAT(handle(*process, context, *entries), IsOk());
        break;
      case 2: {  // the lease is lost while the handler runs: findings are put, windows refused
        LeasedCursor thief = Take(topic, shard);
        (void)handle(*process, context, *entries);
        EXPECT_THAT(cursor.Commit(entries->back().id),
                    StatusIs(absl::StatusCode::kAborted, "LEASE_LOST"));
        break;
      }
      default: {  // stalls, another does the work, then the stale holder wakes up
        LeasedCursor other = Take(topic, shard);
        const auto same = other.Read(entries->size(), 1 << 20, {});
        EXPECT_THAT(
            handle(*std::make_unique<Process>(redis_.NewPool()), {shard, other.epoch()}, *same),
            IsOk());
        EXPECT_THAT(other.Commit(same->back().id), IsOk());
        (void)handle(*process, context, *entries);
        break;
      }
    }
    return false;
  }

  void RunWithKills(uint32_t seed) {
    std::mt19937 random(seed);
    std::set<int> open = {0, 1, 2, 3};  // two shards of each topic
    std::set<int> ended;
    while (ended.size() < 4) {
      const int pick = static_cast<int>(random() % 4);
      const bool match = pick < 2;
      const bool end =
          match ? Step(kEvents, pick, Match, random) : Step(kHits, pick - 2, Window, random);
      // Hits are at their end only when events are.
      if (end && (match || (ended.contains(0) && ended.contains(1)))) ended.insert(pick);
    }
  }

  // What the store holds, without what differs from run to run.
  std::set<std::string> Findings() {
    store::Store<v1::Finding> findings(redis_.NewPool(), FindingKind(), SystemClock());
    std::set<std::string> texts;
    EXPECT_THAT(findings.raw()->ForEach("acme",
                                        [&](const google::protobuf::Message& message) {
                                          v1::Finding finding;
                                          finding.CopyFrom(message);
                                          finding.clear_etag();
                                          finding.clear_create_time();
                                          finding.clear_update_time();
                                          texts.insert(finding.DebugString());
                                          return absl::OkStatus();
                                        }),
                IsOk());
    return texts;
  }

  // How often each finding is in the topic.
  std::map<std::string, int> Published() {
    std::map<std::string, int> times;
    grown_.clear();
    for (int shard = 0; shard < kFindings.shards; ++shard) {
      LeasedCursor cursor = Take(kFindings, shard);
      const auto entries = cursor.Read(1000, 8 << 20, {});
      EXPECT_THAT(entries, IsOk());
      for (const auto& entry : *entries) {
        v1::Finding finding;
        EXPECT_TRUE(finding.ParseFromString(entry.payload));
        const std::string id(store::LastId(finding.name()));
        if (entry.key == id) {
          ++times[finding.name()];  // its beginning; what follows tells how it grew
        } else {
          EXPECT_TRUE(entry.key.starts_with(id + "/")) << entry.key;
          EXPECT_TRUE(times.contains(finding.name()));
          grown_[finding.name()].push_back(entry.key.substr(id.size() + 1));
        }
      }
    }
    return times;
  }

  void RunUninterrupted() {
    Process process(redis_.NewPool());
    for (int shard = 0; shard < 2; ++shard) Drain(kEvents, shard, Match, process);
    for (int shard = 0; shard < 2; ++shard) Drain(kHits, shard, Window, process);
  }

  testing::RedisServer redis_;
  std::map<std::string, std::vector<std::string>> grown_;  // what Published saw: counts told
};

}  // namespace yagura::detection
