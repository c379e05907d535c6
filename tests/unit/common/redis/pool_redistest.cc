#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/redis/pool.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"

namespace yagura::redis {
namespace {

using std::chrono::milliseconds;
using testing::IsOk;
using testing::RedisServer;
using testing::StatusIs;

TEST(PoolTest, LendsAtMostItsNumberAndWaitsForOneToComeBack) {
  const RedisServer server;
  Pool pool(server.endpoint(), 2);
  ASSERT_OK_AND_ASSIGN(auto first, pool.Acquire());
  std::optional<Pool::Lease> second;
  {
    ASSERT_OK_AND_ASSIGN(auto lease, pool.Acquire());
    second.emplace(std::move(lease));
  }
  EXPECT_THAT(pool.Acquire(milliseconds(20)),
              StatusIs(absl::StatusCode::kResourceExhausted, "REDIS_POOL_EXHAUSTED"));
  std::thread giver([&second] { second.reset(); });
  EXPECT_THAT(pool.Acquire(std::chrono::seconds(10)), IsOk());
  giver.join();
}

TEST(PoolTest, UsesTheSameConnectionAgain) {
  const RedisServer server;
  Pool pool(server.endpoint(), 4);
  ASSERT_OK_AND_ASSIGN(const Reply first, pool.Command({"CLIENT", "ID"}));
  ASSERT_OK_AND_ASSIGN(const Reply second, pool.Command({"CLIENT", "ID"}));
  EXPECT_EQ(first.integer, second.integer);
}

TEST(PoolTest, AfterARestartTheFirstCommandSucceeds) {
  RedisServer server;
  Pool pool(server.endpoint(), 4);
  ASSERT_THAT(pool.Command({"SET", "kept", "yes"}), IsOk());
  server.KillHard();
  EXPECT_THAT(pool.Command({"GET", "kept"}), StatusIs(absl::StatusCode::kUnavailable));
  server.Restart();
  ASSERT_OK_AND_ASSIGN(const Reply kept, pool.Command({"GET", "kept"}));
  EXPECT_EQ(kept.text, "yes");
}

TEST(PoolTest, FailedConnectsDoNotUseUpItsPlaces) {
  Endpoint endpoint;
  endpoint.address = "unix:/nonexistent/redis.sock";
  Pool pool(endpoint, 1);
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(pool.Acquire(milliseconds(10)),
                StatusIs(absl::StatusCode::kUnavailable, "REDIS_UNREACHABLE"));
  }
  const std::vector<Args> commands = {{"PING"}, {"PING"}};
  EXPECT_EQ(pool.Pipeline(commands).size(), 2U);
}

TEST(PoolTest, ManyThreadsShareFewConnections) {
  const RedisServer server;
  Pool pool(server.endpoint(), 3);
  std::atomic<int> failures = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&pool, &failures, t] {
      for (int i = 0; i < 200; ++i) {
        const std::string text = std::to_string(t * 1000 + i);
        const auto echoed = pool.Command({"ECHO", text});
        if (!echoed.ok() || echoed->text != text) ++failures;
        if (!pool.Command({"INCR", "count"}).ok()) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  ASSERT_OK_AND_ASSIGN(const Reply count, pool.Command({"GET", "count"}));
  EXPECT_EQ(count.text, "1600");
}

}  // namespace
}  // namespace yagura::redis
