#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/stream/producer.h"
#include "tests/unit/common/stream/stream_fixture.h"

namespace yagura::stream {
namespace {

using testing::IsOk;
using testing::StatusIs;

class ProducerTest : public StreamTest {};

TEST_F(ProducerTest, TheSameKeyAgainIsNotAppendedTwice) {
  ASSERT_OK_AND_ASSIGN(const EntryId first, producer_->Append(1, "batch-1", "one"));
  ASSERT_OK_AND_ASSIGN(const EntryId again, producer_->Append(1, "batch-1", "one"));
  EXPECT_EQ(first, again);
  EXPECT_EQ(Length(1), 1);
  ASSERT_OK_AND_ASSIGN(const EntryId other, producer_->Append(1, "batch-2", "two"));
  EXPECT_LT(first, other);
  EXPECT_EQ(Length(1), 2);
  const auto ttl = flow_->Command({"TTL", DedupKey("events", 1, "batch-1")});
  ASSERT_THAT(ttl, IsOk());
  EXPECT_GT(ttl->integer, 24 * 3600 - 60);
}

TEST_F(ProducerTest, AppendsManyInOrderOverAllShardsInFewRoundTrips) {
  std::vector<std::string> keys;
  for (int i = 0; i < 2000; ++i) keys.push_back(fmt::format("key-{}", i / 2));  // each one twice
  std::vector<Producer::Item> items;
  for (size_t i = 0; i < keys.size(); ++i) {
    items.push_back({static_cast<int>(i / 2 % 3), keys[i], "payload"});
  }
  const auto ids = producer_->AppendAll(items);
  ASSERT_EQ(ids.size(), items.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    ASSERT_THAT(ids[i], IsOk()) << i;
    if (i % 2 == 1) {
      EXPECT_EQ(*ids[i], *ids[i - 1]);
    }
    if (i >= 6) {
      EXPECT_LT(*ids[i - 6], *ids[i]);
    }
  }
  EXPECT_EQ(Length(0) + Length(1) + Length(2), 1000);
}

TEST_F(ProducerTest, RefusesWhatIsNotAnEntry) {
  const std::string long_key(513, 'k');
  const std::vector<Producer::Item> items = {
      {-1, "a", ""}, {4, "a", ""}, {0, "", ""}, {0, long_key, ""}, {0, "good", ""}};
  const auto ids = producer_->AppendAll(items);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_THAT(ids[i], StatusIs(absl::StatusCode::kInvalidArgument)) << i;
  }
  EXPECT_THAT(ids[4], IsOk());
}

TEST_F(ProducerTest, PushesBackAboveItsBudgetAndGoesOnBelowIt) {
  Producer producer(flow_, topic_, {.memory_budget_bytes = 6 << 20});
  const std::string megabyte(1 << 20, 'x');
  int accepted = 0;
  absl::Status last;
  ASSERT_TRUE(Eventually([&] {
    last = producer.Append(0, fmt::format("k{}", accepted), megabyte).status();
    if (last.ok()) ++accepted;
    return !last.ok();
  }));
  EXPECT_THAT(last, StatusIs(absl::StatusCode::kResourceExhausted, "FLOW_FULL"));
  EXPECT_GT(accepted, 0);
  ASSERT_THAT(flow_->Command({"DEL", StreamKey("events", 0)}), IsOk());
  EXPECT_TRUE(Eventually([&] { return producer.Append(0, "later", "small").ok(); }));
}

TEST_F(ProducerTest, RedisAtItsOwnLimitPushesBackToo) {
  ASSERT_THAT(flow_->Command({"CONFIG", "SET", "maxmemory", "1"}), IsOk());
  EXPECT_THAT(producer_->Append(0, "k", "payload"),
              StatusIs(absl::StatusCode::kResourceExhausted, "FLOW_FULL"));
  ASSERT_THAT(flow_->Command({"CONFIG", "SET", "maxmemory", "0"}), IsOk());
  EXPECT_THAT(producer_->Append(0, "k", "payload"), IsOk());
}

TEST_F(ProducerTest, ARetryAfterALostAnswerFindsTheFirstAppend) {
  ASSERT_OK_AND_ASSIGN(const EntryId first, producer_->Append(0, "k", "payload"));
  server_->KillHard();
  EXPECT_THAT(producer_->Append(0, "k", "payload"), StatusIs(absl::StatusCode::kUnavailable));
  server_->Restart();
  ASSERT_OK_AND_ASSIGN(const EntryId again, producer_->Append(0, "k", "payload"));
  EXPECT_EQ(first, again);
  EXPECT_EQ(Length(0), 1);
}

TEST_F(ProducerTest, ManyThreadsLoseNothing) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 100; ++i) {
        EXPECT_THAT(producer_->Append(i % 4, fmt::format("{}-{}", t, i), "x"), IsOk());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Length(0) + Length(1) + Length(2) + Length(3), 400);
}

}  // namespace
}  // namespace yagura::stream
