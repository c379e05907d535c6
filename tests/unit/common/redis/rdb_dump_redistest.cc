#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/redis/pool.h"
#include "common/redis/rdb_dump.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"

namespace yagura::redis {
namespace {

using std::chrono::seconds;
using testing::IsOk;
using testing::RedisServer;
using testing::StatusIs;

// Of a server that begins a dump at once, not after the five seconds in which more replicas might
// ask for one.
std::shared_ptr<Pool> PoolOf(const RedisServer& server) {
  auto pool = server.NewPool();
  EXPECT_THAT(pool->Command({"CONFIG", "SET", "repl-diskless-sync-delay", "0"}), IsOk());
  return pool;
}

struct Dumped {
  absl::Status status;
  std::string bytes;
};

Dumped ReadAll(RdbDump& dump) {
  Dumped dumped;
  dumped.status = dump.Read(
      [&dumped](std::string_view bytes) {
        dumped.bytes += bytes;
        return absl::OkStatus();
      },
      {});
  return dumped;
}

// Puts the dump in place of what the server has: as a backup that is restored.
void LoadInto(RedisServer& server, const std::string& bytes) {
  server.KillHard();
  const auto folder = server.folder() / "appendonlydir";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "appendonly.aof.1.base.rdb", std::ios::binary) << bytes;
  std::ofstream(folder / "appendonly.aof.manifest")
      << "file appendonly.aof.1.base.rdb seq 1 type b\n";
  server.Restart();
}

TEST(RdbDump, HasWhatWasThereAtItsMomentAndNothingLater) {
  RedisServer server;
  const auto pool = PoolOf(server);
  const std::string large(3 << 20, 'x');
  ASSERT_THAT(pool->Command({"SET", "before", large}), IsOk());
  ASSERT_THAT(pool->Command({"XADD", "stream", "1-1", "k", "v"}), IsOk());
  ASSERT_OK_AND_ASSIGN(RdbDump dump, RdbDump::Begin(server.endpoint(), seconds(30), {}));
  ASSERT_THAT(pool->Command({"SET", "after", "1"}), IsOk());
  const Dumped dumped = ReadAll(dump);
  ASSERT_THAT(dumped.status, IsOk());
  EXPECT_THAT(dumped.bytes, ::testing::StartsWith("REDIS"));
  EXPECT_THAT(dump.position(), ::testing::MatchesRegex("[0-9a-f]{40}:[0-9]+"));

  RedisServer other;
  LoadInto(other, dumped.bytes);
  const auto restored = other.NewPool();
  ASSERT_OK_AND_ASSIGN(const Reply before, restored->Command({"GET", "before"}));
  EXPECT_EQ(before.text, large);
  ASSERT_OK_AND_ASSIGN(const Reply length, restored->Command({"XLEN", "stream"}));
  EXPECT_EQ(length.integer, 1);
  ASSERT_OK_AND_ASSIGN(const Reply after, restored->Command({"EXISTS", "after"}));
  EXPECT_EQ(after.integer, 0);
}

TEST(RdbDump, IsTheSameUnderWritesThatGoOn) {
  RedisServer server;
  const auto pool = PoolOf(server);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_THAT(pool->Command({"RPUSH", "list", std::to_string(i)}), IsOk());
  }
  std::jthread writing([&pool](const std::stop_token& stop) {
    while (!stop.stop_requested()) (void)pool->Command({"INCR", "count"});
  });
  ASSERT_OK_AND_ASSIGN(RdbDump dump, RdbDump::Begin(server.endpoint(), seconds(30), {}));
  ASSERT_OK_AND_ASSIGN(const Reply reached, pool->Command({"GET", "count"}));
  const Dumped dumped = ReadAll(dump);
  ASSERT_THAT(dumped.status, IsOk());
  writing.request_stop();
  writing.join();
  RedisServer other;
  LoadInto(other, dumped.bytes);
  const auto restored = other.NewPool();
  ASSERT_OK_AND_ASSIGN(const Reply count, restored->Command({"GET", "count"}));
  EXPECT_LE(std::stoll("0" + count.text), std::stoll("0" + reached.text));
  ASSERT_OK_AND_ASSIGN(const Reply length, restored->Command({"LLEN", "list"}));
  EXPECT_EQ(length.integer, 1000);
}

TEST(RdbDump, ThatIsCutOffIsAnError) {
  RedisServer server;
  const auto pool = PoolOf(server);
  for (int i = 0; i < 40; ++i) {
    ASSERT_THAT(pool->Command({"SET", std::to_string(i), std::string(1 << 20, 'x')}), IsOk());
  }
  ASSERT_OK_AND_ASSIGN(RdbDump dump, RdbDump::Begin(server.endpoint(), seconds(30), {}));
  const absl::Status status = dump.Read(
      [&server, killed = false](std::string_view) mutable {
        if (!killed) server.KillHard();
        killed = true;
        return absl::OkStatus();
      },
      {});
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable, "REDIS_UNREACHABLE"));
}

TEST(RdbDump, OfNobodySaysSo) {
  Endpoint endpoint;
  endpoint.address = "unix:/nonexistent/redis.sock";
  EXPECT_THAT(RdbDump::Begin(endpoint, seconds(1), {}),
              StatusIs(absl::StatusCode::kUnavailable, "REDIS_UNREACHABLE"));
  endpoint.address = "nonsense";
  EXPECT_THAT(RdbDump::Begin(endpoint, seconds(1), {}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(RdbDump, WithoutThePasswordIsRefused) {
  RedisServer server;
  const auto pool = PoolOf(server);
  ASSERT_THAT(pool->Command({"CONFIG", "SET", "requirepass", "open sesame"}), IsOk());
  EXPECT_THAT(RdbDump::Begin(server.endpoint(), seconds(5), {}),
              StatusIs(absl::StatusCode::kFailedPrecondition, "REDIS_NO_DUMP"));
  Endpoint endpoint = server.endpoint();
  endpoint.password = "open sesame";
  EXPECT_THAT(RdbDump::Begin(endpoint, seconds(30), {}), IsOk());
}

}  // namespace
}  // namespace yagura::redis
