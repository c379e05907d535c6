// Events in, findings out, over real Redis: with workers that are killed at every point, come back
// late with an old lease, and get the same entries again.
#include "google/protobuf/text_format.h"

#include "common/testing/fake_clock.h"
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

// Findings that are judged by assets which nobody knows at first.
class JudgingTest : public DetectionPipelineTest {
 protected:
  void SetUp() override {
    DetectionPipelineTest::SetUp();
    ASSERT_THAT(store::RegisterTenant(*pool_, "acme"), IsOk());
  }

  // As a process has it that was just started. `budget`: of the flow Redis, where nothing fits.
  std::unique_ptr<FindingSink> NewSink(std::shared_ptr<const Surroundings> about,
                                       uint64_t budget = 0) {
    return std::make_unique<FindingSink>(
        findings_,
        std::make_shared<stream::Producer>(
            pool_, kFindings, stream::Producer::Options{.memory_budget_bytes = budget}),
        FindingSink::Steps{[about](v1::Finding& finding) { return about->Judge(finding); }, {}},
        std::make_shared<UnjudgedFindings>(pool_, clock_));
  }
  static Windows::Outcome MakeOutcome(const std::string& id) {
    Windows::Outcome outcome;
    outcome.began = outcome.tells = true;
    outcome.finding.set_name("tenants/acme/findings/" + id);
    outcome.finding.set_severity(event::v1::HIGH);
    outcome.finding.set_event_count(1);
    outcome.finding.set_action(event::v1::DETECTED);
    auto& target = *outcome.finding.add_entities();
    target.set_type(v1::IP_ADDRESS);
    target.set_value("10.0.0.1");
    target.set_role("target");
    return outcome;
  }
  v1::ImpactLevel LevelOf(const std::string& id) const {
    const auto kept = findings_.Get("tenants/acme/findings/" + id);
    EXPECT_THAT(kept, IsOk());
    return kept.ok() ? kept->impact().level() : v1::IMPACT_LEVEL_UNSPECIFIED;
  }
  // The directory has answered: an asset that the internet reaches.
  static std::shared_ptr<Surroundings> Known() {
    auto about = std::make_shared<Surroundings>();
    directory::v1::Asset asset;
    asset.set_name("tenants/acme/assets/web");
    asset.add_addresses()->set_address("10.0.0.1");
    asset.set_exposure(directory::v1::EXPOSURE_INTERNET);
    about->SetInventories({{"acme", Inventory::Build({asset}, true)}});
    return about;
  }
  size_t Waiting() const {
    const auto reply = pool_->Command({"HLEN", "y:{judging}:detection:unjudged"});
    EXPECT_THAT(reply, IsOk());
    return reply.ok() ? static_cast<size_t>(reply->integer) : 99;
  }

  std::shared_ptr<redis::Pool> pool_ = redis_.NewPool();
  std::shared_ptr<testing::FakeClock> clock_ =
      std::make_shared<testing::FakeClock>(SystemClock()->Now());
  store::Store<v1::Finding> findings_{pool_, FindingKind(), SystemClock()};
};

// The directory answers late; and after a restart, late again.
TEST_F(JudgingTest, WhatCameBeforeTheAssetsIsJudgedWhenTheyAreKnown) {
  const auto about = std::make_shared<Surroundings>();
  auto sink = NewSink(about);
  auto outcome = MakeOutcome("f");
  ASSERT_THAT(sink->Put({outcome}), IsOk());
  EXPECT_EQ(LevelOf("f"), v1::UNKNOWN);
  EXPECT_THAT(sink->JudgeAgain(), StatusIs(absl::StatusCode::kUnavailable, "NOT_JUDGED"));
  about->SetInventories({{"acme", Known()->InventoryOf("acme")}});
  ASSERT_THAT(sink->JudgeAgain(), IsOk());
  const auto judged = LevelOf("f");
  EXPECT_NE(judged, v1::UNKNOWN);
  EXPECT_EQ(Waiting(), 0U);
  ASSERT_THAT(sink->JudgeAgain(), IsOk());
  EXPECT_EQ(Published().size(), 1U);
  EXPECT_THAT(grown_[outcome.finding.name()],
              ::testing::ElementsAre(::testing::StartsWith("judged-")))
      << "told once";
  // Another process lets it grow before it knows of any asset.
  outcome.began = false;
  outcome.finding.set_event_count(2);
  ASSERT_THAT(NewSink(std::make_shared<Surroundings>())->Put({outcome}), IsOk());
  EXPECT_EQ(LevelOf("f"), judged);
}

// The last word about a finding says counts and times alone; then a late event lets it grow.
TEST_F(JudgingTest, AFindingThatGrowsAgainAfterItsLastWordIsWhole) {
  for (const bool is_kept : {false, true}) {
    const std::string id = is_kept ? "kept" : "fresh";
    const auto sink = NewSink(Known());
    const auto first = MakeOutcome(id);
    if (is_kept) {
      ASSERT_THAT(sink->Put({first}), IsOk());
    }
    Windows::Outcome last_word;
    last_word.finding.set_name(first.finding.name());
    last_word.finding.set_event_count(2);
    last_word.closing = true;
    last_word.tells = is_kept;
    auto grown = first;
    grown.began = !is_kept;
    grown.finding.set_event_count(3);
    ASSERT_THAT(sink->Put({last_word, grown}), IsOk());
    const auto kept = findings_.Get(first.finding.name());
    ASSERT_THAT(kept, IsOk());
    EXPECT_EQ(kept->event_count(), 3U);
    EXPECT_EQ(kept->severity(), event::v1::HIGH);
    EXPECT_EQ(kept->entities_size(), 1);
    ASSERT_THAT(sink->Put({last_word}), IsOk());  // done again
    EXPECT_EQ(findings_.Get(first.finding.name())->event_count(), 3U);
  }
  Published();
  EXPECT_THAT(grown_["tenants/acme/findings/kept"], ::testing::ElementsAre("2", "3"));
}

TEST_F(JudgingTest, WhatThereIsNoRoomForIsCounted) {
  MetricsRegistry metrics;
  Counter* const dropped = metrics.GetCounter("dropped", "");
  UnjudgedFindings unjudged(pool_, clock_, {.most = 2, .dropped = dropped});
  for (const char* name : {"a", "b", "c", "a", "d"}) {
    EXPECT_THAT(unjudged.Note(name, "digest"), IsOk());
  }
  EXPECT_EQ(Waiting(), 2U);
  EXPECT_EQ(dropped->Value(), 2);
}

TEST_F(JudgingTest, WhatIsToBeJudgedAgainOutlivesARestart) {
  ASSERT_THAT(NewSink(std::make_shared<Surroundings>())->Put({MakeOutcome("f")}), IsOk());
  ASSERT_THAT(NewSink(Known())->JudgeAgain(), IsOk());
  EXPECT_NE(LevelOf("f"), v1::UNKNOWN);
  EXPECT_EQ(Waiting(), 0U);
  Published();
  EXPECT_THAT(grown_["tenants/acme/findings/f"], ::testing::SizeIs(1));
}

// The stream is full when the finding has been judged; and then the process is killed.
TEST_F(JudgingTest, WhatWasJudgedAndNotToldIsToldLater) {
  ASSERT_THAT(NewSink(std::make_shared<Surroundings>())->Put({MakeOutcome("f")}), IsOk());
  EXPECT_THAT(NewSink(Known(), 1)->JudgeAgain(),
              StatusIs(absl::StatusCode::kResourceExhausted, "FLOW_FULL"));
  EXPECT_NE(LevelOf("f"), v1::UNKNOWN) << "judged";
  EXPECT_EQ(Waiting(), 1U);
  ASSERT_THAT(NewSink(Known())->JudgeAgain(), IsOk());
  EXPECT_EQ(Waiting(), 0U);
  Published();
  EXPECT_THAT(grown_["tenants/acme/findings/f"], ::testing::SizeIs(1));
}

TEST_F(JudgingTest, AFindingAtFaultKeepsNoOtherFromBeingJudged) {
  const std::vector<std::string> ids = {"a", "b", "c", "d", "e"};
  const auto sink = NewSink(std::make_shared<Surroundings>());
  for (const auto& id : ids) ASSERT_THAT(sink->Put({MakeOutcome(id)}), IsOk());
  for (const char* id : {"a", "d"}) {
    ASSERT_THAT(pool_->Command({"SET", std::string("y:{acme}:detection:finding:") + id, "broken"}),
                IsOk());
  }
  const auto later = NewSink(Known());
  EXPECT_FALSE(later->JudgeAgain().ok());
  for (const char* id : {"b", "c", "e"}) EXPECT_NE(LevelOf(id), v1::UNKNOWN) << id;
  EXPECT_EQ(Waiting(), 2U);
  clock_->Advance(std::chrono::hours(24 * 8));
  EXPECT_THAT(later->JudgeAgain(), IsOk());
  EXPECT_EQ(Waiting(), 0U) << "given up";
}

// Killed between the write and all that follows: the step is done again by who knows the assets.
TEST_F(JudgingTest, AKillBehindTheWriteForgetsNothing) {
  EXPECT_THAT(NewSink(std::make_shared<Surroundings>(), 1)->Put({MakeOutcome("f")}),
              StatusIs(absl::StatusCode::kResourceExhausted, "FLOW_FULL"));
  const auto sink = NewSink(Known());
  ASSERT_THAT(sink->Put({MakeOutcome("f")}), IsOk());
  ASSERT_THAT(sink->JudgeAgain(), IsOk());
  EXPECT_NE(LevelOf("f"), v1::UNKNOWN);
  EXPECT_EQ(Published()["tenants/acme/findings/f"], 1);
  EXPECT_THAT(grown_["tenants/acme/findings/f"], ::testing::SizeIs(1));
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
