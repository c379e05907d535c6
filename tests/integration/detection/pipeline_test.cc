// Events in, findings out, over real Redis: with workers that are killed at every point, come back
// late with an old lease, and get the same entries again.
#include "google/protobuf/text_format.h"

#include "services/detection/domain/surroundings.h"
#include "tests/integration/detection/pipeline_fixture.h"

namespace yagura::detection {
namespace {

using ::testing::IsEmpty;

TEST_F(DetectionPipelineTest, EventsBecomeFindings) {
  Produce();
  RunUninterrupted();
  std::map<std::string, std::pair<int, uint64_t>> by_title;  // findings, events
  store::Store<v1::Finding> findings(redis_.NewPool(), FindingKind(), SystemClock());
  const auto page = findings.List({.parent = "tenants/acme", .order_by = "create_time desc"});
  ASSERT_THAT(page, IsOk());
  for (const auto& finding : page->items) {
    auto& [count, events] = by_title[finding.title()];
    ++count;
    events += finding.event_count();
    EXPECT_FALSE(finding.evidence().empty());
    EXPECT_FALSE(finding.dedup_key().empty());
  }
  // user0 of each device fails every 14 s for the whole time: one finding with all 30 events.
  // user1 of each device fails 8 times in each of 3 bursts.
  EXPECT_EQ(by_title["Many failed log-ins"], std::pair(2 + 6, uint64_t{2 * 30 + 6 * 8}));
  // Batches 0, 26, 52 of one device, 13, 39 of the other: within 10 minutes of each other.
  EXPECT_EQ(by_title["Malware"], std::pair(2, uint64_t{5}));
  EXPECT_EQ(by_title.size(), 2U);
  for (const auto& [name, times] : Published()) EXPECT_EQ(times, 1) << name;
  EXPECT_EQ(Published().size(), 10U);
}

// The directory answers late; and after a restart, late again.
TEST_F(DetectionPipelineTest, FindingsThatCameBeforeTheAssetsAreJudgedWhenTheyAreKnown) {
  const auto pool = redis_.NewPool();
  ASSERT_THAT(store::RegisterTenant(*pool, "acme"), IsOk());
  store::Store<v1::Finding> findings(pool, FindingKind(), SystemClock());
  Surroundings about;
  const auto new_sink = [&] {
    return std::make_unique<FindingSink>(
        findings, std::make_shared<stream::Producer>(pool, kFindings, stream::Producer::Options{}),
        FindingSink::Steps{[&about](v1::Finding& finding) { return about.Judge(finding); }, {}});
  };
  Windows::Outcome outcome;
  outcome.began = outcome.tells = true;
  outcome.finding.set_name("tenants/acme/findings/f");
  outcome.finding.set_severity(event::v1::HIGH);
  outcome.finding.set_event_count(1);
  outcome.finding.set_action(event::v1::DETECTED);
  auto& target = *outcome.finding.add_entities();
  target.set_type(v1::IP_ADDRESS);
  target.set_value("10.0.0.1");
  target.set_role("target");
  const auto level = [&] {
    const auto kept = findings.Get("tenants/acme/findings/f");
    EXPECT_THAT(kept, IsOk());
    return kept.ok() ? kept->impact().level() : v1::IMPACT_LEVEL_UNSPECIFIED;
  };
  auto sink = new_sink();
  ASSERT_THAT(sink->Put({outcome}), IsOk());
  EXPECT_EQ(level(), v1::UNKNOWN);
  EXPECT_THAT(sink->JudgeAgain(), StatusIs(absl::StatusCode::kUnavailable, "NOT_JUDGED"));
  directory::v1::Asset asset;
  asset.set_name("tenants/acme/assets/web");
  asset.add_addresses()->set_address("10.0.0.1");
  asset.set_exposure(directory::v1::EXPOSURE_INTERNET);
  about.SetInventories({{"acme", Inventory::Build({asset}, true)}});
  ASSERT_THAT(sink->JudgeAgain(), IsOk());
  const auto judged = level();
  EXPECT_NE(judged, v1::UNKNOWN);
  ASSERT_THAT(sink->JudgeAgain(), IsOk());
  EXPECT_EQ(Published().size(), 1U);
  EXPECT_THAT(grown_[outcome.finding.name()], ::testing::ElementsAre("judged")) << "told once";
  // Another process lets it grow before it knows of any asset.
  const Surroundings fresh;
  FindingSink other(
      findings, std::make_shared<stream::Producer>(pool, kFindings, stream::Producer::Options{}),
      FindingSink::Steps{[&fresh](v1::Finding& finding) { return fresh.Judge(finding); }, {}});
  outcome.began = false;
  outcome.finding.set_event_count(2);
  ASSERT_THAT(other.Put({outcome}), IsOk());
  EXPECT_EQ(level(), judged);
}

TEST_F(DetectionPipelineTest, WhatARuleOnTrialFindsIsKeptAndToldNobody) {
  store::Store<v1::Rule> rules(redis_.NewPool(), RuleResourceKind(), SystemClock());
  const auto on_trial = [](v1::Rule& rule) {
    rule.set_state(v1::TEST);
    return absl::OkStatus();
  };
  ASSERT_THAT(rules.Mutate({.principal = "test", .method = "test"},
                           "tenants/provider/rules/4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c003", on_trial),
              IsOk());
  Produce();
  RunUninterrupted();
  store::Store<v1::Finding> findings(redis_.NewPool(), FindingKind(), SystemClock());
  const auto untold = findings.List({.parent = "tenants/acme", .filter = "untold = true"});
  ASSERT_THAT(untold, IsOk());
  uint64_t events = 0;
  for (const auto& finding : untold->items) {
    EXPECT_EQ(finding.title(), "Malware");
    events += finding.event_count();
  }
  EXPECT_EQ(untold->items.size(), 2U);
  EXPECT_EQ(events, 5U);
  EXPECT_EQ(Published().size(), 8U);
}

TEST_F(DetectionPipelineTest, KillsAndStaleLeasesChangeNothing) {
  Produce();
  RunUninterrupted();
  const auto expected = Findings();
  ASSERT_EQ(expected.size(), 10U);
  Published();
  const auto grown = grown_;
  EXPECT_FALSE(grown.empty());
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    Prepare();
    Produce();
    RunWithKills(seed);
    EXPECT_EQ(Findings(), expected);
    const auto published = Published();
    EXPECT_EQ(published.size(), expected.size());
    EXPECT_EQ(grown_, grown);
    for (const auto& [name, times] : published) EXPECT_EQ(times, 1) << name;
    if (HasFailure()) break;
  }
}

TEST_F(DetectionPipelineTest, KillsChangeNothingAboutCorrelationsOfCorrelations) {
  const auto prepare = [this] {
    Prepare();
    AddRule(kFew);
    Produce();
    // So that all windows before have ended.
    stream::Producer producer(redis_.NewPool(), kEvents, {});
    for (int device = 0; device < 2; ++device) {
      const std::string batch_id = event::BatchIdOf({fmt::format("late {}", device)});
      event::BatchBuilder builder({"acme", batch_id, TimePoint(std::chrono::seconds(1))});
      builder.Add(MakeEvent(5000, "failed", fmt::format("d{}-user9", device)));
      ASSERT_THAT(producer.Append(device, batch_id, builder.Finish()), IsOk());
    }
  };
  prepare();
  RunUninterrupted();
  const auto expected = Findings();
  const auto told = Published();
  std::map<std::string, int> titles;
  for (const auto& text : expected) {
    v1::Finding finding;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &finding));
    ++titles[finding.title()];
  }
  // user0 fails five times in a minute, user1 eight times or not at all, user2 of one device once
  // in 140 s, three times.
  EXPECT_EQ(titles["Few failed log-ins"], 3);
  EXPECT_EQ(titles["Few and few again"], 1);
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    prepare();
    RunWithKills(seed);
    EXPECT_EQ(Findings(), expected);
    EXPECT_EQ(Published(), told);
    if (HasFailure()) break;
  }
}

TEST_F(DetectionPipelineTest, AStaleEpochCannotWriteWindows) {
  Produce();
  Process process(redis_.NewPool());
  Drain(kEvents, 0, Match, process);
  for (int shard = 0; shard < 2; ++shard) {
    LeasedCursor stale = Take(kHits, shard);
    const auto entries = stale.Read(4, 1 << 20, {});
    ASSERT_THAT(entries, IsOk());
    if (entries->empty()) continue;
    LeasedCursor next = Take(kHits, shard);
    EXPECT_THAT(process.window.Handle({shard, stale.epoch()}, *entries),
                StatusIs(absl::StatusCode::kAborted, "LEASE_LOST"));
    EXPECT_THAT(process.window.Handle({shard, next.epoch()}, *entries), IsOk());
  }
}

TEST_F(DetectionPipelineTest, ADisabledRuleFindsNothing) {
  Process process(redis_.NewPool());
  for (const std::string_view id :
       {"4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002", "4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c003"}) {
    ASSERT_THAT(process.rules.Mutate({.principal = "test", .method = "test"},
                                     fmt::format("tenants/provider/rules/{}", id),
                                     [](v1::Rule& rule) {
                                       rule.set_enabled(false);
                                       return absl::OkStatus();
                                     }),
                IsOk());
  }
  ASSERT_THAT(process.rule_book->Reload(), IsOk());
  Produce();
  for (int shard = 0; shard < 2; ++shard) Drain(kEvents, shard, Match, process);
  for (int shard = 0; shard < 2; ++shard) Drain(kHits, shard, Window, process);
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(DetectionPipelineTest, RunsUnderWorkers) {
  Produce();
  Process process(redis_.NewPool());
  const auto no_dead_letters = [](const auto&, const auto& entry, const auto& status) {
    ADD_FAILURE() << entry.key << ": " << status;
  };
  stream::Worker match(
      redis_.NewPool(), kEvents, {.reader = "detection", .holder = ""},
      [&](const auto& context, const auto& entries) {
        return process.match.Handle(context, entries);
      },
      no_dead_letters, Logger::Null());
  stream::Worker window(
      redis_.NewPool(), kHits, {.reader = "detection-windows", .holder = ""},
      [&](const auto& context, const auto& entries) {
        return process.window.Handle(context, entries);
      },
      no_dead_letters, Logger::Null());
  window.Start();
  match.Start();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (match.Lag().value_or(1) > 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  while (window.Lag().value_or(1) > 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  match.Stop();
  window.Stop();
  EXPECT_EQ(Findings().size(), 10U);
}

}  // namespace
}  // namespace yagura::detection
