// What readers give up becomes known, once a stream and hour, without loops.
#include "services/detection/domain/findings.h"
#include "services/detection/workers/dead_letter_teller.h"
#include "tests/integration/detection/pipeline_fixture.h"

namespace yagura::detection {
namespace {

using ::testing::HasSubstr;

class DeadLettersTest : public DetectionPipelineTest {
 protected:
  DeadLettersTest() {
    EXPECT_THAT(store::RegisterTenant(*pool_, "acme"), IsOk());
    EXPECT_THAT(store::RegisterTenant(*pool_, "provider"), IsOk());
  }
  void SetUp() override {
    for (const auto& topic : {kEvents, kHits, kFindings}) {
      ASSERT_THAT(stream::DeclareReaders(*pool_, topic), IsOk());
    }
  }

  // As its first reader's worker does after the last attempt.
  void GiveUp(const stream::Topic& topic, int shard, const std::string& payload) {
    stream::Producer producer(pool_, topic, {});
    const auto id = producer.Append(shard, fmt::format("entry-{}", ++entries_), payload);
    ASSERT_THAT(id, IsOk());
    LeasedCursor cursor = Take(topic, shard);
    ASSERT_THAT(cursor.CommitDeadLetter(*id, absl::InvalidArgumentError("cannot be read")), IsOk());
  }
  // One that was given up in an hour of long ago.
  void GiveUpIn(int64_t hour, int shard, int number) {
    const std::string id = fmt::format("{}-1", hour * 3'600'000 + number);
    const std::string payload = Batch();
    ASSERT_THAT(
        pool_->Command({"XADD", stream::DeadLetterKey(kEvents.name, shard), id, "id", "1-1",
                        "reader", "detection", "error", "cannot be read", "k", "b1", "p", payload}),
        IsOk());
  }
  static std::string Batch() {
    event::BatchBuilder builder({"acme", "b1", TimePoint(std::chrono::seconds(1))});
    builder.Add(MakeEvent(1, "fine", "d0-user0"));
    return builder.Finish();
  }
  static std::string FindingOf(const v1::Finding& finding) { return finding.SerializeAsString(); }

  std::vector<v1::Finding> FindingsOf(const std::string& tenant) {
    store::Store<v1::Finding> findings(pool_, FindingKind(), SystemClock());
    const auto page = findings.List({.parent = "tenants/" + tenant, .order_by = "create_time"});
    EXPECT_THAT(page, IsOk());
    return page.ok() ? page->items : std::vector<v1::Finding>();
  }

  std::shared_ptr<redis::Pool> pool_ = redis_.NewPool();
  MetricsRegistry metrics_;
  std::shared_ptr<FindingSink> sink_ = std::make_shared<FindingSink>(
      store::Store<v1::Finding>(pool_, FindingKind(), SystemClock()),
      std::make_shared<stream::Producer>(pool_, kFindings, stream::Producer::Options{}));
  DeadLetterTeller teller_{pool_, pool_,    {kEvents, kHits, kFindings},
                           sink_, metrics_, Logger::Null()};
  int entries_ = 0;
};

TEST_F(DeadLettersTest, AreToldLaterWhereTheTopicIsFull) {
  GiveUp(kEvents, 0, Batch());
  const auto full = std::make_shared<FindingSink>(
      store::Store<v1::Finding>(pool_, FindingKind(), SystemClock()),
      std::make_shared<stream::Producer>(pool_, kFindings,
                                         stream::Producer::Options{.memory_budget_bytes = 1}));
  DeadLetterTeller teller(pool_, pool_, {kEvents, kHits, kFindings}, full, metrics_,
                          Logger::Null());
  EXPECT_THAT(teller.TellOnce(), StatusIs(absl::StatusCode::kResourceExhausted, "FLOW_FULL"));
  EXPECT_TRUE(Published().empty());
  ASSERT_THAT(teller_.TellOnce(), IsOk());
  EXPECT_EQ(Published().size(), 1U);
  const auto findings = FindingsOf("acme");
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].event_count(), 1U);
}

TEST_F(DeadLettersTest, OfAnHourCountOnWhileAShardIsFarAhead) {
  constexpr int64_t kHour = 472'222;
  for (int i = 0; i < 40; ++i) GiveUpIn(kHour, 0, i);  // some pages
  GiveUpIn(kHour + 9, 1, 0);
  ASSERT_THAT(teller_.TellOnce(), IsOk());
  std::multiset<uint64_t> counts;
  for (const auto& finding : FindingsOf("acme")) counts.insert(finding.event_count());
  EXPECT_EQ(counts, (std::multiset<uint64_t>{1, 40}));
}

TEST_F(DeadLettersTest, AreOneFindingOfTheTenantAStreamAndHour) {
  GiveUp(kEvents, 0, Batch());
  GiveUp(kEvents, 1, Batch());
  ASSERT_THAT(teller_.TellOnce(), IsOk());
  GiveUp(kEvents, 0, Batch());
  GiveUp(kEvents, 0, Batch());
  for (int i = 0; i < 2; ++i) ASSERT_THAT(teller_.TellOnce(), IsOk());
  const auto findings = FindingsOf("acme");
  uint64_t count = 0;  // two findings where the hour changes meanwhile
  for (const auto& finding : findings) {
    count += finding.event_count();
    EXPECT_EQ(finding.title(), "Yagura could not process events");
    EXPECT_THAT(finding.description(), HasSubstr("cannot be read"));
    EXPECT_TRUE(IsDeadLetterFinding(finding));
  }
  EXPECT_EQ(count, 4U);
  EXPECT_LE(findings.size(), 2U);
  EXPECT_EQ(Published().size(), findings.size());
  EXPECT_THAT(metrics_.Render(), HasSubstr("yagura_detection_dead_letters 4"));
}

TEST_F(DeadLettersTest, OfOtherReadersAndStreamsAreToldToo) {
  internal::v1::HitBatch hits;
  hits.set_tenant("acme");
  GiveUp(kHits, 1, hits.SerializeAsString());
  v1::Finding finding;
  finding.set_name("tenants/acme/findings/f1");
  finding.set_rule_id("4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c003");
  GiveUp(kFindings, 0, FindingOf(finding));
  ASSERT_THAT(teller_.TellOnce(), IsOk());
  std::set<std::string> titles;
  for (const auto& told : FindingsOf("acme")) titles.insert(told.title());
  EXPECT_THAT(titles, ::testing::UnorderedElementsAre("Yagura could not process hits",
                                                      "Yagura could not process findings"));
}

TEST_F(DeadLettersTest, WithoutAKnownTenantAreTheProviders) {
  GiveUp(kEvents, 0, "no batch");
  v1::Finding finding;
  finding.set_name("tenants/nobody/findings/f1");
  GiveUp(kFindings, 0, FindingOf(finding));
  ASSERT_THAT(teller_.TellOnce(), IsOk());
  EXPECT_EQ(FindingsOf("provider").size(), 2U);
}

TEST_F(DeadLettersTest, AFindingAboutThemThatFailsTooIsToldNobody) {
  GiveUp(kEvents, 0, "no batch");
  ASSERT_THAT(teller_.TellOnce(), IsOk());
  const auto told = FindingsOf("provider");
  ASSERT_EQ(told.size(), 1U);
  for (int i = 0; i < 3; ++i) {
    GiveUp(kFindings, 0, FindingOf(told[0]));
    ASSERT_THAT(teller_.TellOnce(), IsOk());
  }
  EXPECT_EQ(FindingsOf("provider").size(), 1U);
  EXPECT_EQ(FindingsOf("provider")[0].event_count(), 1U);
}

TEST_F(DeadLettersTest, TwoProcessesTellTheSame) {
  DeadLetterTeller other(pool_, pool_, {kEvents, kHits, kFindings}, sink_, metrics_,
                         Logger::Null());
  std::thread second([&] {
    for (int i = 0; i < 30; ++i) EXPECT_THAT(other.TellOnce(), IsOk());
  });
  for (int i = 0; i < 30; ++i) {
    GiveUp(kEvents, i % 2, Batch());
    EXPECT_THAT(teller_.TellOnce(), IsOk());
  }
  second.join();
  uint64_t count = 0;
  for (const auto& finding : FindingsOf("acme")) count += finding.event_count();
  EXPECT_EQ(count, 30U);
}

}  // namespace
}  // namespace yagura::detection
