// The sealer with a real Redis and a real event store, ended at every step.
#include "services/archive/workers/audit_sealer.h"

#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "audit_world.h"
#include "common/digest/sha256.h"
#include "common/redis/pool.h"
#include "common/store/change_feed.h"
#include "common/store/keys.h"
#include "common/testing/fake_clock.h"
#include "common/testing/process.h"
#include "common/testing/status_matchers.h"
#include "services/archive/domain/audit_chain.h"

namespace yagura::archive {
namespace {

using audit::v1::VerifyRecordsResponse;
using testing::IsOk;
using testing::StatusIs;

constexpr std::chrono::seconds kPatience{60};
constexpr const char* kSealKey = "y:{acme}:archive:seal";

// Records of acme: 1..count, each once, in the store, and a chain that verifies.
void ExpectWhole(AuditWorld& world, uint64_t count) {
  EXPECT_EQ(world.Count("countIf(tenant = 'acme')"), count);
  EXPECT_EQ(world.Count("uniqExactIf(sequence, tenant = 'acme')"), count);
  const auto verified = world.Verify();
  EXPECT_EQ(verified.state(), VerifyRecordsResponse::OK) << verified.ShortDebugString();
  EXPECT_EQ(verified.verified_records(), count);
  EXPECT_EQ(verified.unsealed_records(), 0u);
}

// A process of its own, that a test ends with SIGKILL; run by the tests below.
TEST(SealerChild, DISABLED_Seals) {
  const char* step = std::getenv("YAGURA_TEST_STEP");
  if (step == nullptr) GTEST_SKIP() << "for the other tests";
  const int kill_at = std::atoi(step);
  int times = std::atoi(std::getenv("YAGURA_TEST_TIMES"));
  redis::Endpoint endpoint;
  endpoint.address = std::getenv("YAGURA_TEST_STATE");
  const auto state = std::make_shared<redis::Pool>(endpoint);
  SealerWorld world(std::getenv("YAGURA_TEST_STORE"), state, std::getenv("YAGURA_TEST_KEYS"));
  world.parts.after_step = [&](SealStep at) {
    if (static_cast<int>(at) == kill_at && --times == 0) kill(getpid(), SIGKILL);
  };
  SealOptions options = SmallSeals();
  options.keep_age = std::chrono::milliseconds(0);
  for (int i = 0; i < 2; ++i) static_cast<void>(world.Seal(options));
}

// Begins to seal, and kills itself once it has come to that step so often.
testing::Process StartChild(AuditWorld& world, SealStep step, int times) {
  // By `env`: a thread of this process may be reading the environment.
  return testing::Process(
      {"env", "YAGURA_TEST_STEP=" + std::to_string(static_cast<int>(step)),
       "YAGURA_TEST_TIMES=" + std::to_string(times),
       "YAGURA_TEST_STATE=" + world.redis.endpoint().address,
       "YAGURA_TEST_STORE=" + world.event_store.address(),
       "YAGURA_TEST_KEYS=" + (world.redis.folder() / "keys").string(),
       std::filesystem::read_symlink("/proc/self/exe").string(),
       "--gtest_filter=SealerChild.DISABLED_Seals", "--gtest_also_run_disabled_tests"},
      world.redis.folder() / "child.log");
}

// 128 + SIGKILL where it came so far.
int RunChild(AuditWorld& world, SealStep step, int times) {
  return StartChild(world, step, times).Wait();
}

// Until another has waited for the killed one's lease, and done what there was to do.
Status SealAll(AuditWorld& world, const SealOptions& options) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  Status status;
  while (std::chrono::steady_clock::now() < deadline) {
    status = world.Seal(options);
    const auto feeds = world.world.seals.Look({"acme"});
    if (status.ok() && feeds.ok() && feeds->at("acme").sealed == feeds->at("acme").newest &&
        !feeds->at("acme").planned) {
      return absl::OkStatus();
    }
    std::this_thread::yield();
  }
  return status.ok() ? Unavailable("SLOW", "not sealed in time") : status;
}

TEST(AuditSealer, SealsInOrderAndTheChainIsWhatTheContractSays) {
  AuditWorld world;
  world.AppendTo("acme", 0, 20);
  ASSERT_THAT(world.Seal(), IsOk());
  ExpectWhole(world, 20);
  EXPECT_EQ(world.Count("count()", "audit_heads"), 3u);
  EXPECT_EQ(world.world.parts.sealed, 20u);
  // Computed once more, from the feed alone.
  ASSERT_OK_AND_ASSIGN(const auto entries, world.world.seals.ReadFeed("acme", 0, 100, 1 << 20));
  ASSERT_EQ(entries.size(), 20u);
  std::string hash = ChainStart("acme");
  for (const auto& entry : entries) hash = ChainNext(hash, entry.sequence, entry.bytes);
  const auto head = world.Verify().head();
  EXPECT_EQ(head.hash(), hash);
  EXPECT_EQ(head.sequence(), 20u);
  EXPECT_EQ(head.first_sequence(), 17u);
  EXPECT_TRUE(
      auth::VerifySignature(world.world.key.public_key(), HeadText(head), head.signature()));
}

// Known values, so that the bytes of the contract never change unseen.
TEST(AuditChain, HasTheBytesOfTheContract) {
  const std::string start = ChainStart("acme");
  const std::string first = ChainNext(start, 1, "abc");
  std::string text("yagura.audit.chain.v1\0acme", 26);
  EXPECT_EQ(start, Sha256(text));
  text = start + std::string("\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x03", 16) + "abc";
  EXPECT_EQ(first, Sha256(text));
  audit::v1::Head head;
  head.set_tenant("acme");
  head.set_first_sequence(1);
  head.set_sequence(258);
  head.set_previous_hash(start);
  head.set_hash(first);
  head.mutable_seal_time()->set_nanos(5);
  head.mutable_expire_time()->set_seconds(6);
  EXPECT_EQ(HeadText(head), std::string("yagura.audit.head.v1\0\0\0\0\0\0\0\0\x04"
                                        "acme\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\x01\x02",
                                        49) +
                                start + first +
                                std::string("\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06", 16));
}

class KilledAt : public ::testing::TestWithParam<SealStep> {};

TEST_P(KilledAt, NoRecordIsLostOrDoubledAndTheChainHolds) {
  AuditWorld world;
  uint64_t appended = 0;
  for (int times : {1, 2}) {
    if (GetParam() == SealStep::kLeased) times = 1;  // once a turn, whatever there is to seal
    world.AppendTo("acme", static_cast<int>(appended), 20);
    ASSERT_EQ(RunChild(world, GetParam(), times), 128 + SIGKILL);
    world.AppendTo("acme", static_cast<int>(appended) + 20, 10);
    appended += 30;
    SealOptions options = SmallSeals();
    options.keep_age = std::chrono::milliseconds(0);
    ASSERT_THAT(SealAll(world, options), IsOk());
    ExpectWhole(world, appended);
  }
  EXPECT_EQ(world.Details("acme", {"acme"}).size(), appended);
}

INSTANTIATE_TEST_SUITE_P(Steps, KilledAt,
                         ::testing::Values(SealStep::kLeased, SealStep::kPlanned,
                                           SealStep::kRecordsStored, SealStep::kHeadStored,
                                           SealStep::kAdvanced));

TEST(AuditSealer, KilledWhileItTrims) {
  AuditWorld world;
  world.AppendTo("acme", 0, 20);
  ASSERT_EQ(RunChild(world, SealStep::kTrimmed, 1), 128 + SIGKILL);
  world.AppendTo("acme", 20, 10);
  ASSERT_THAT(SealAll(world, SmallSeals()), IsOk());
  ExpectWhole(world, 30);
  EXPECT_EQ(world.Details("acme", {"acme"}).size(), 30u);
}

// Sealers, the store and Redis are killed at random while records come.
TEST(AuditSealer, NothingIsMissingOrDoubledWhateverIsKilled) {
  AuditWorld world;
  std::mt19937 random(20261122);
  std::set<std::string> acknowledged;
  int number = 0;
  SealOptions options = SmallSeals();
  options.keep_age = std::chrono::milliseconds(0);
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 25; ++i, ++number) {
      audit::v1::Record record;
      record.set_tenant("acme");
      record.set_detail(std::to_string(number));
      if (store::AppendRecords(*world.state, {record}).ok()) {
        acknowledged.insert(record.detail());
      }
    }
    auto child =
        StartChild(world, static_cast<SealStep>(random() % 5), 1 + static_cast<int>(random() % 3));
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 200));
    if (round % 2 == 0) {
      world.event_store.KillHard();
    } else {
      world.redis.KillHard();
      world.redis.Restart();
    }
    child.Wait();
  }
  world.event_store.AwaitUp();
  ASSERT_THAT(SealAll(world, options), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto feeds, world.world.seals.Look({"acme"}));
  ExpectWhole(world, feeds.at("acme").newest);
  const auto details = world.Details("acme", {"acme"});
  const std::set<std::string> distinct(details.begin(), details.end());
  EXPECT_EQ(details.size(), distinct.size());
  EXPECT_TRUE(
      std::includes(distinct.begin(), distinct.end(), acknowledged.begin(), acknowledged.end()));
  EXPECT_GT(acknowledged.size(), 100u);
}

TEST(AuditSealer, OneProcessAtATimeSealsATenantAndAStaleOneCanPlanNothing) {
  AuditWorld world;
  const SealStore& seals = world.world.seals;
  const std::chrono::milliseconds lease(60);
  ASSERT_OK_AND_ASSIGN(const auto one, seals.Acquire("acme", "one", lease));
  EXPECT_THAT(seals.Acquire("acme", "two", lease),
              StatusIs(absl::StatusCode::kUnavailable, "LEASE_HELD"));
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  auto two = seals.Acquire("acme", "two", std::chrono::hours(1));
  while (!two.ok() && std::chrono::steady_clock::now() < deadline) {
    two = seals.Acquire("acme", "two", std::chrono::hours(1));
  }
  ASSERT_THAT(two, IsOk());
  EXPECT_THAT(seals.Plan(one.first, {}), StatusIs(absl::StatusCode::kAborted, "LEASE_LOST"));
  EXPECT_THAT(seals.Advance(one.first, 5, std::string(32, 'x')),
              StatusIs(absl::StatusCode::kAborted, "LEASE_LOST"));
  EXPECT_THAT(seals.Plan(two->first, {}), IsOk());
  // The tenant of another is left alone, and that is no failure.
  world.AppendTo("acme", 0, 3);
  EXPECT_THAT(world.Seal(), IsOk());
  EXPECT_EQ(world.Count("count()"), 0u);
}

TEST(AuditSealer, WhileTheStoreIsDownFeedsWaitAndNothingIsTrimmed) {
  AuditWorld world;
  SealOptions options = SmallSeals();
  options.keep_age = std::chrono::milliseconds(0);
  options.keep_records = 0;
  world.AppendTo("acme", 0, 30);
  world.event_store.Stop();
  EXPECT_THAT(world.Seal(options), StatusIs(absl::StatusCode::kUnavailable, "EVENT_STORE_DOWN"));
  ASSERT_OK_AND_ASSIGN(const auto feeds, world.world.seals.Look({"acme"}));
  EXPECT_EQ(feeds.at("acme").oldest, 1u);
  EXPECT_EQ(feeds.at("acme").sealed, 0u);
  world.event_store.Start();
  ASSERT_THAT(SealAll(world, options), IsOk());
  ExpectWhole(world, 30);
}

TEST(AuditSealer, FeedsKeepWhatIsYoungButNotTooMuch) {
  AuditWorld world;
  world.AppendTo("acme", 0, 100);
  SealOptions options = SmallSeals();
  ASSERT_THAT(world.Seal(options), IsOk());
  ASSERT_THAT(world.Seal(options), IsOk());
  ASSERT_OK_AND_ASSIGN(auto feeds, world.world.seals.Look({"acme"}));
  EXPECT_EQ(feeds.at("acme").oldest, 1u) << "the records are younger than a year";
  options.keep_records = 40;
  ASSERT_THAT(world.Seal(options), IsOk());
  ASSERT_OK_AND_ASSIGN(feeds, world.world.seals.Look({"acme"}));
  EXPECT_EQ(feeds.at("acme").oldest, 61u);
  EXPECT_THAT(world.world.seals.Trim("acme", 101),
              StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_SEALED"));
}

TEST(AuditSealer, RecordsThatVanishedUnsealedLeaveAMark) {
  AuditWorld world;
  world.AppendTo("acme", 0, 10);
  ASSERT_THAT(store::TrimRecords(*world.state, "acme", 4), IsOk());
  ASSERT_THAT(world.state->Command({"XDEL", store::FeedKey("acme"), "9-0", "10-0"}), IsOk());
  ASSERT_THAT(world.Seal(), IsOk());
  ExpectWhole(world, 10);
  EXPECT_EQ(world.world.parts.lost, 6u);
  EXPECT_EQ(world.Details("acme", {"acme"}, "method = archive.sealer").size(), 6u);
}

// Redis comes back without the records `first`..`last`, which were its newest.
void ForgetRecords(AuditWorld& world, int first, int last) {
  const std::string feed = store::FeedKey("acme");
  const std::string left = std::to_string(first - 1);
  for (int i = first; i <= last; ++i) {
    const std::string id = fmt::format("{}-0", i);
    ASSERT_THAT(world.state->Command({"XDEL", feed, id}), IsOk());
  }
  ASSERT_THAT(world.state->Command({"XSETID", feed, left + "-0"}), IsOk());
  ASSERT_THAT(world.state->Command({"SET", store::SequenceKey("acme"), left}), IsOk());
}

// A lost host: Redis comes back without its last second, the store has it.
TEST(AuditSealer, AfterRedisLostSealedRecordsNewOnesAreNumberedBehindThem) {
  AuditWorld world;
  world.AppendTo("acme", 0, 8);
  ASSERT_THAT(world.Seal(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto hash, world.state->Command({"HGET", kSealKey, "hash"}));
  world.AppendTo("acme", 8, 8);
  ASSERT_THAT(world.Seal(), IsOk());
  // Back to ten records, eight of them sealed; then three new ones.
  ForgetRecords(world, 11, 16);
  ASSERT_THAT(world.state->Command({"HSET", kSealKey, "sequence", "8", "hash", hash.text}), IsOk());
  world.AppendTo("acme", 100, 3);
  ASSERT_THAT(SealAll(world, SmallSeals()), IsOk());
  ExpectWhole(world, 19);
  const auto details = world.Details("acme", {"acme"});
  EXPECT_THAT(std::vector<std::string>(details.begin(), details.begin() + 4),
              ::testing::ElementsAre("102", "101", "100", "15"));
}

TEST(AuditSealer, AfterTheStoreLostSealedRecordsTheyAreSealedAgainFromTheFeed) {
  AuditWorld world;
  world.AppendTo("acme", 0, 20);
  ASSERT_THAT(world.Seal(), IsOk());
  world.Tamper("ALTER TABLE yagura.audit_heads DELETE WHERE sequence > 8");
  world.Tamper("ALTER TABLE yagura.audit_records DELETE WHERE sequence > 8");
  EXPECT_EQ(world.Verify().flaw(), VerifyRecordsResponse::HEAD_MISSING);
  world.AppendTo("acme", 20, 1);
  ASSERT_THAT(world.Seal(), IsOk());
  ExpectWhole(world, 21);
}

TEST(AuditSealer, WhatTheFeedHasNoMoreIsNotPaperedOver) {
  AuditWorld world;
  world.AppendTo("acme", 0, 20);
  SealOptions options = SmallSeals();
  ASSERT_THAT(world.Seal(options), IsOk());
  options.keep_records = 0;
  ASSERT_THAT(world.Seal(options), IsOk());
  world.Tamper("ALTER TABLE yagura.audit_heads DELETE WHERE sequence > 8");
  world.Tamper("ALTER TABLE yagura.audit_records DELETE WHERE sequence > 8");
  world.AppendTo("acme", 20, 1);
  EXPECT_THAT(world.Seal(options), StatusIs(absl::StatusCode::kDataLoss, "AUDIT_STORE_BEHIND"));
  ASSERT_OK_AND_ASSIGN(const auto feeds, world.world.seals.Look({"acme"}));
  EXPECT_EQ(feeds.at("acme").oldest, 21u) << "what is left is kept";
}

TEST(AuditSealer, ExpiredRecordsGoAndTheChainStillVerifies) {
  const auto clock = std::make_shared<testing::FakeClock>(SystemClock()->Now());
  AuditWorld world(clock);
  SealOptions options = SmallSeals();
  options.retention_days = 30;
  world.AppendTo("acme", 0, 16);
  const TimePoint now = clock->Now();
  clock->SetNow(now - std::chrono::hours(24 * 40));
  ASSERT_THAT(world.Seal(options), IsOk());
  clock->SetNow(now);
  world.AppendTo("acme", 16, 10);
  ASSERT_THAT(world.Seal(options), IsOk());
  world.Tamper("OPTIMIZE TABLE yagura.audit_records FINAL");
  EXPECT_EQ(world.Count("count()"), 10u);
  auto verified = world.Verify();
  EXPECT_EQ(verified.state(), VerifyRecordsResponse::OK) << verified.ShortDebugString();
  EXPECT_EQ(verified.first_sequence(), 17u);
  EXPECT_EQ(verified.verified_records(), 10u);
  // Of what is not expired nothing may go with it.
  world.Tamper("ALTER TABLE yagura.audit_records DELETE WHERE sequence <= 18");
  verified = world.Verify();
  EXPECT_EQ(verified.flaw(), VerifyRecordsResponse::RECORD_MISSING);
  EXPECT_EQ(verified.flawed_sequence(), 17u);
}

// One that never ceases to write must not keep the others from being sealed.
TEST(AuditSealer, ATurnEndsWithWhatThereWasWhenItBegan) {
  AuditWorld world;
  world.AppendTo("acme", 0, 20);
  world.AppendTo("beta", 0, 3);
  int next = 20;
  world.world.parts.after_step = [&](SealStep at) {
    if (at == SealStep::kAdvanced && next < 60) {
      world.AppendTo("acme", next, 10);
      next += 10;
    }
  };
  AuditSealer sealer(world.state, SmallSeals(), world.world.parts);
  ASSERT_THAT(sealer.Pass(true), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto feeds, world.world.seals.Look({"acme", "beta"}));
  EXPECT_EQ(feeds.at("acme").sealed, 20u);
  EXPECT_EQ(feeds.at("beta").sealed, 3u);
}

TEST(AuditSealer, StopsBetweenTwoStretches) {
  AuditWorld world;
  world.AppendTo("acme", 0, 40);
  std::stop_source stop;
  world.world.parts.after_step = [&](SealStep at) {
    if (at == SealStep::kAdvanced) stop.request_stop();
  };
  AuditSealer sealer(world.state, SmallSeals(), world.world.parts);
  ASSERT_THAT(sealer.Pass(true, stop.get_token()), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto feeds, world.world.seals.Look({"acme"}));
  EXPECT_EQ(feeds.at("acme").sealed, 8u);
  EXPECT_EQ(sealer.stalled(), 0u);
}

// A lost host: the store has the records, and Redis has forgotten that they were to be sealed.
TEST(AuditSealer, RecordsWhosePlanIsLostAreSealedAsTheyWereStored) {
  AuditWorld world;
  world.AppendTo("acme", 0, 20);
  ASSERT_EQ(RunChild(world, SealStep::kRecordsStored, 2), 128 + SIGKILL);
  ASSERT_THAT(world.state->Command({"HDEL", kSealKey, "plan"}), IsOk());
  world.AppendTo("acme", 20, 10);
  ASSERT_THAT(SealAll(world, SmallSeals()), IsOk());
  ExpectWhole(world, 30);
}

TEST(AuditSealer, RecordsWhosePlanIsLostKeepTheirNumbersFromNewOnes) {
  AuditWorld world;
  world.AppendTo("acme", 0, 8);
  ASSERT_EQ(RunChild(world, SealStep::kRecordsStored, 1), 128 + SIGKILL);
  ASSERT_THAT(world.state->Command({"HDEL", kSealKey, "plan"}), IsOk());
  ForgetRecords(world, 5, 8);
  world.AppendTo("acme", 100, 3);
  ASSERT_THAT(SealAll(world, SmallSeals()), IsOk());
  ExpectWhole(world, 11);
  const auto details = world.Details("acme", {"acme"});
  EXPECT_THAT(std::vector<std::string>(details.begin(), details.begin() + 4),
              ::testing::ElementsAre("102", "101", "100", "7"));
}

TEST(AuditSealer, RowsThatDoNotContinueTheChainAreNotSealed) {
  AuditWorld world;
  world.AppendTo("acme", 0, 8);
  ASSERT_THAT(world.Seal(), IsOk());
  world.Tamper(
      "INSERT INTO yagura.audit_records SELECT * REPLACE (toUInt64(9) AS sequence) "
      "FROM (SELECT * FROM yagura.audit_records WHERE sequence = 8)");
  world.AppendTo("acme", 8, 3);
  EXPECT_THAT(world.Seal(), StatusIs(absl::StatusCode::kDataLoss, "AUDIT_STORE_ALTERED"));
  world.Tamper("ALTER TABLE yagura.audit_records DELETE WHERE sequence = 9");
  ASSERT_THAT(world.Seal(), IsOk());
  ExpectWhole(world, 11);
}

TEST(AuditSealer, NoRecordExpiresBeforeAnOlderOneWhenTheRetentionIsLowered) {
  const auto clock = std::make_shared<testing::FakeClock>(SystemClock()->Now());
  AuditWorld world(clock);
  SealOptions options = SmallSeals();
  options.retention_days = 400;
  world.AppendTo("acme", 0, 8);
  ASSERT_THAT(world.Seal(options), IsOk());
  options.retention_days = 30;
  world.AppendTo("acme", 8, 8);
  ASSERT_THAT(world.Seal(options), IsOk());
  clock->SetNow(clock->Now() + std::chrono::hours(24 * 40));
  ExpectWhole(world, 16);
  world.Tamper("ALTER TABLE yagura.audit_records UPDATE principal = 'x' WHERE sequence = 3");
  EXPECT_EQ(world.Verify().flawed_sequence(), 3u);
}

TEST(AuditSealer, AClockTwoYearsBehindLetsNothingExpire) {
  const auto clock = std::make_shared<testing::FakeClock>(SystemClock()->Now());
  AuditWorld world(clock);
  const TimePoint now = clock->Now();
  world.AppendTo("acme", 0, 8);
  ASSERT_THAT(world.Seal(), IsOk());
  world.AppendTo("acme", 8, 8);
  clock->SetNow(now - std::chrono::hours(24 * 730));
  ASSERT_THAT(world.Seal(), IsOk());
  clock->SetNow(now);
  world.AppendTo("acme", 16, 8);
  ASSERT_THAT(world.Seal(), IsOk());
  world.Tamper("OPTIMIZE TABLE yagura.audit_records FINAL");
  ExpectWhole(world, 24);
}

// Heads that an earlier sealer made, which did not heed that.
TEST(AuditStore, OnlyWhatIsBeforeAllThatIsLeftCountsAsExpired) {
  AuditWorld world;
  const TimePoint now = SystemClock()->Now();
  const auto insert = [&](uint64_t sequence, int days) {
    SealedHead head;
    head.head.set_tenant("acme");
    head.head.set_sequence(sequence);
    head.head.mutable_expire_time()->set_seconds(
        std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count() +
        int64_t{86'400} * days);
    ASSERT_THAT(world.world.store.InsertHead(head), IsOk());
  };
  insert(4, -20);
  insert(8, -10);
  ASSERT_OK_AND_ASSIGN(auto last, world.world.store.LastExpiredHead("acme", now));
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(last->head.sequence(), 8u);
  insert(12, 300);
  insert(16, -5);
  ASSERT_OK_AND_ASSIGN(last, world.world.store.LastExpiredHead("acme", now));
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(last->head.sequence(), 8u);
}

// What is planned for acme does not fit its feed.
void PlanWhatIsNotThere(AuditWorld& world) {
  ASSERT_OK_AND_ASSIGN(const auto acquired,
                       world.world.seals.Acquire("acme", "other", std::chrono::seconds(60)));
  internal::v1::SealPlan plan;
  plan.mutable_head()->set_tenant("acme");
  plan.mutable_head()->set_first_sequence(1);
  plan.mutable_head()->set_sequence(8);
  plan.mutable_head()->set_previous_hash(ChainStart("acme"));
  plan.mutable_head()->set_hash(std::string(32, 'x'));
  ASSERT_THAT(world.world.seals.Plan(acquired.first, plan), IsOk());
  world.world.seals.Release(acquired.first);
}

TEST(AuditSealer, OneStalledTenantIsNoIllnessOfTheService) {
  AuditWorld world;
  world.AppendTo("acme", 0, 20);
  world.AppendTo("beta", 0, 20);
  PlanWhatIsNotThere(world);
  AuditSealer sealer(world.state, SmallSeals(), world.world.parts);
  ASSERT_THAT(sealer.Pass(true), IsOk());
  EXPECT_THAT(sealer.Health(), IsOk());
  EXPECT_EQ(sealer.stalled(), 1u);
  EXPECT_EQ(world.Verify("beta").verified_records(), 20u);
  world.event_store.Stop();
  world.AppendTo("beta", 20, 20);
  ASSERT_THAT(sealer.Pass(true), IsOk());
  EXPECT_THAT(sealer.Health(), StatusIs(absl::StatusCode::kUnavailable, "EVENT_STORE_DOWN"));
}

TEST(AuditSealer, AStalledTenantIsNotTriedAtEveryPass) {
  AuditWorld world;
  world.AppendTo("acme", 0, 20);
  PlanWhatIsNotThere(world);
  SealOptions options = SmallSeals();
  options.interval = std::chrono::hours(1);
  int leased = 0;
  world.world.parts.after_step = [&](SealStep at) { leased += at == SealStep::kLeased ? 1 : 0; };
  AuditSealer sealer(world.state, options, world.world.parts);
  for (int i = 0; i < 4; ++i) ASSERT_THAT(sealer.Pass(), IsOk());
  EXPECT_EQ(leased, 1);
  EXPECT_EQ(sealer.stalled(), 1u);
}

// Redis serves nobody else while a script runs.
TEST(AuditSealer, ALongFeedIsRenumberedInSteps) {
  AuditWorld world;
  for (int i = 0; i < 3'500; i += 500) world.AppendTo("acme", i, 500);
  const auto scripts = [&] {
    const auto stats = world.state->Command({"INFO", "commandstats"});
    EXPECT_THAT(stats, IsOk());
    const size_t at = stats->text.find("cmdstat_evalsha:calls=");
    return at == std::string::npos ? 0 : std::atoi(stats->text.c_str() + at + 22);
  };
  const SealStore& seals = world.world.seals;
  ASSERT_OK_AND_ASSIGN(const auto acquired, seals.Acquire("acme", "me", std::chrono::seconds(60)));
  const int before = scripts();
  ASSERT_THAT(seals.Renumber(acquired.first, 1'000, 5'000, std::string(32, 'h')), IsOk());
  EXPECT_GE(scripts() - before, 3);
  ASSERT_OK_AND_ASSIGN(const auto feeds, seals.Look({"acme"}));
  EXPECT_EQ(feeds.at("acme").sealed, 5'000u);
  EXPECT_EQ(feeds.at("acme").oldest, 5'001u);
  EXPECT_EQ(feeds.at("acme").newest, 7'500u);
  ASSERT_OK_AND_ASSIGN(const auto entries, seals.ReadFeed("acme", 0, 10'000, 64 << 20));
  ASSERT_EQ(entries.size(), 2'500u);
  for (size_t i = 0; i < entries.size(); ++i) {
    audit::v1::Record record;
    ASSERT_TRUE(record.ParseFromString(entries[i].bytes));
    ASSERT_EQ(record.detail(), std::to_string(1'000 + i));
    ASSERT_EQ(entries[i].sequence, 5'001 + i);
  }
  world.AppendTo("acme", 9'000, 1);
  ASSERT_OK_AND_ASSIGN(const auto more, seals.ReadFeed("acme", 7'500, 10, 1 << 20));
  ASSERT_EQ(more.size(), 1u);
  EXPECT_EQ(more[0].sequence, 7'501u);
  EXPECT_THAT(world.state->Command({"EXISTS", "y:{acme}:archive:renumbered"})->integer, 0);
}

TEST(AuditSealer, WorksByItself) {
  AuditWorld world;
  AuditSealer sealer(world.state, SmallSeals(), world.world.parts);
  sealer.Start();
  world.Append(0, 60);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (world.world.parts.sealed < 60 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  sealer.Stop();
  EXPECT_THAT(sealer.Health(), IsOk());
  EXPECT_EQ(world.Verify("acme").verified_records(), 40u);
  EXPECT_EQ(world.Verify("beta").verified_records(), 20u);
}

}  // namespace
}  // namespace yagura::archive
