#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/stream/info.h"
#include "common/stream/producer.h"
#include "tests/unit/common/stream/stream_fixture.h"

namespace yagura::stream {
namespace {

using testing::IsOk;
using testing::StatusIs;

class ProducerTest : public StreamTest {
 protected:
  std::vector<std::string> DedupSets(int shard) {
    std::vector<std::string> names;
    const auto reply = flow_->Command({"KEYS", "y:{s" + std::to_string(shard) + "}:dedup:*"});
    EXPECT_THAT(reply, IsOk());
    for (const redis::Reply& name : reply->items) names.push_back(name.text);
    return names;
  }
};

TEST_F(ProducerTest, TheSameKeyAgainIsNotAppendedTwice) {
  ASSERT_OK_AND_ASSIGN(const EntryId first, producer_->Append(1, "batch-1", "one"));
  ASSERT_OK_AND_ASSIGN(const EntryId again, producer_->Append(1, "batch-1", "one"));
  EXPECT_EQ(again, EntryId());
  EXPECT_EQ(Length(1), 1);
  ASSERT_OK_AND_ASSIGN(const EntryId other, producer_->Append(1, "batch-2", "two"));
  EXPECT_LT(first, other);
  EXPECT_EQ(Length(1), 2);
  ASSERT_THAT(producer_->Append(2, "batch-1", "one"), IsOk());
  EXPECT_EQ(Length(2), 1) << "a shard knows its own keys";
}

TEST_F(ProducerTest, KeysAreRememberedForTheWholeWindowAndNotMuchLonger) {
  ASSERT_THAT(producer_->Append(1, "batch-1", "one"), IsOk());
  const auto sets = DedupSets(1);
  ASSERT_EQ(sets.size(), 1u);
  const auto ttl = flow_->Command({"TTL", sets[0]});
  ASSERT_THAT(ttl, IsOk());
  EXPECT_GT(ttl->integer, 24 * 3600 - 60);
  EXPECT_LE(ttl->integer, 30 * 3600);
  // As if it had been appended in an earlier period, the oldest that counts and one before that.
  const std::string prefix = sets[0].substr(0, sets[0].rfind(':') + 1);
  const int64_t period = std::stoll(sets[0].substr(prefix.size()));
  const auto move_to = [&](int64_t from, int64_t to) {
    return flow_->Command({"RENAME", prefix + std::to_string(from), prefix + std::to_string(to)});
  };
  for (const int64_t age : {4, 1, -1}) {  // -1: the clock has been set back
    ASSERT_THAT(move_to(period, period - age), IsOk());
    ASSERT_THAT(producer_->Append(1, "batch-1", "one"), IsOk());
    EXPECT_EQ(Length(1), 1) << age;
    ASSERT_THAT(move_to(period - age, period), IsOk());
  }
  ASSERT_THAT(move_to(period, period - 5), IsOk());
  ASSERT_THAT(producer_->Append(1, "batch-1", "one"), IsOk());
  EXPECT_EQ(Length(1), 2);
}

TEST_F(ProducerTest, WhatIsRememberedIsPackedTightly) {
  const auto used = [this] {
    return static_cast<double>(
        *InfoNumber(flow_->Command({"INFO", "memory"})->text, "used_memory"));
  };
  constexpr int kKeys = 200'000;
  const auto remember = [this](int from) {
    std::vector<std::string> keys;
    std::vector<Producer::Item> items;
    for (int i = from; i < from + 2000; ++i) keys.push_back(fmt::format("key-{}", i));
    for (const std::string& key : keys) items.push_back({0, key, "x"});
    for (const auto& id : producer_->AppendAll(items)) ASSERT_THAT(id, IsOk());
    ASSERT_THAT(flow_->Command({"XTRIM", StreamKey("events", 0), "MAXLEN", "0"}), IsOk());
  };
  remember(0);
  const double before = used();
  for (int i = 2000; i < kKeys; i += 2000) remember(i);
  const double each = (used() - before) / (kKeys - 2000);
  RecordProperty("bytes_a_key", std::to_string(each));
  EXPECT_LT(each, 24) << "bytes a key";
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
      EXPECT_EQ(*ids[i], EntryId()) << "a repeat";
    } else if (i >= 6) {
      EXPECT_LT(*ids[i - 6], *ids[i]);
    }
  }
  EXPECT_EQ(Length(0) + Length(1) + Length(2), 1000);
}

TEST_F(ProducerTest, ARequestIsAppendedOnceWhateverItBecomes) {
  const std::vector<Producer::Item> first = {{0, "a", "1"}, {1, "b", "2"}, {0, "c", "3"}};
  ASSERT_OK_AND_ASSIGN(const auto appended, producer_->AppendRequest("request", first));
  EXPECT_FALSE(appended.known);
  ASSERT_EQ(appended.ids.size(), 3u);
  EXPECT_LT(appended.ids[0], appended.ids[2]);
  const std::vector<Producer::Item> otherwise = {{2, "d", "1"}};
  ASSERT_OK_AND_ASSIGN(const auto again, producer_->AppendRequest("request", otherwise));
  EXPECT_TRUE(again.known);
  EXPECT_EQ(Length(0), 2);
  EXPECT_EQ(Length(1), 1);
  EXPECT_EQ(Length(2), 0);
  // Entries are known again by their own keys, too.
  ASSERT_OK_AND_ASSIGN(const auto other, producer_->AppendRequest("another", first));
  EXPECT_FALSE(other.known);
  EXPECT_EQ(other.ids, std::vector<EntryId>(3));
  ASSERT_OK_AND_ASSIGN(const EntryId one, producer_->Append(1, "b", "2"));
  EXPECT_EQ(one, EntryId());
}

TEST_F(ProducerTest, ARequestThatIsTooMuchForOneCallIsLeftAlone) {
  const std::string large(700 << 10, 'x');
  const std::vector<Producer::Item> items = {{0, "a", large}, {0, "b", large}};
  EXPECT_THAT(producer_->AppendRequest("request", items),
              StatusIs(absl::StatusCode::kFailedPrecondition, "REQUEST_TOO_LARGE"));
  EXPECT_EQ(Length(0), 0);
  EXPECT_THAT(producer_->AppendRequest("request", {items.data(), 1}), IsOk());
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
  ASSERT_THAT(producer_->Append(0, "k", "payload"), IsOk());
  server_->KillHard();
  EXPECT_THAT(producer_->Append(0, "k", "payload"), StatusIs(absl::StatusCode::kUnavailable));
  server_->Restart();
  ASSERT_OK_AND_ASSIGN(const EntryId again, producer_->Append(0, "k", "payload"));
  EXPECT_EQ(again, EntryId());
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
