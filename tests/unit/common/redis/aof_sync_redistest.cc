#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/redis/aof_sync.h"
#include "common/redis/pool.h"
#include "common/testing/process.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"

namespace yagura::redis {
namespace {

using testing::IsOk;

TEST(AofSyncTest, FindsTheFilesOfARealServerAlsoDuringRewrites) {
  const testing::RedisServer server;
  const auto pool = server.NewPool();
  const AofSync sync(server.folder(), std::chrono::milliseconds(1));
  for (int i = 0; i < 20; ++i) {
    ASSERT_THAT(pool->Command({"INCR", "count"}), IsOk());
    (void)pool->Command({"BGREWRITEAOF"});
    EXPECT_THAT(sync.SyncOnce(), IsOk());
  }
}

TEST(AofSyncTest, NothingThereYetIsFine) {
  const auto folder = testing::MakeTemporaryFolder();
  {
    const AofSync sync(folder);
    EXPECT_THAT(sync.SyncOnce(), IsOk());
  }
  std::filesystem::remove_all(folder);
}

// What the fixture and every server that must keep its word rely on: written before answered.
TEST(AofSyncTest, WithoutRedisOwnSyncAKilledServerLosesNothingAcknowledged) {
  testing::RedisServer server;
  const auto pool = server.NewPool();
  const AofSync sync(server.folder(), std::chrono::milliseconds(1));
  int acknowledged = 0;
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 50; ++i) {
      ASSERT_OK_AND_ASSIGN(const Reply count, pool->Command({"INCR", "count"}));
      acknowledged = static_cast<int>(count.integer);
    }
    server.KillHard();
    server.Restart();
    ASSERT_OK_AND_ASSIGN(const Reply count, pool->Command({"GET", "count"}));
    EXPECT_EQ(count.text, std::to_string(acknowledged));
  }
}

}  // namespace
}  // namespace yagura::redis
